"""The store: what must outlive every process. Parts meet here and on the broker, nowhere else."""

from iot_stream.store.database import Store

__all__ = ["Store"]
