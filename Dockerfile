# Two images from one file, for docker-compose.yml or by hand:
#
#   docker build --target light   .   all but the distiller, and devices: no PyTorch
#   docker build --target service .   the whole service, with PyTorch
#
# PIP_ARGS goes to pip, as in `make`; BASE may be any Debian with Python 3.11 to 3.14.
ARG BASE=python:3.11-slim

FROM ${BASE} AS light
ARG PIP_ARGS=""
ENV PIP_NO_CACHE_DIR=1 PYTHONUNBUFFERED=1
WORKDIR /app
COPY . .
RUN pip install ${PIP_ARGS} --constraint constraints.txt ".[postgres,metrics,dashboard]"
# State lives here; named volumes mounted on these start with this owner.
RUN useradd --uid 1000 --create-home iot && install --directory --owner iot --group iot \
    /var/lib/iot-stream /var/lib/iot-stream/access /var/lib/iot-stream/broker
WORKDIR /var/lib/iot-stream
USER iot
CMD ["iot-stream", "--help"]

FROM light AS service
ARG PIP_ARGS=""
USER root
RUN pip install ${PIP_ARGS} --constraint /app/constraints.txt "/app[train,formats,postgres,parquet]"
USER iot
