"""`python -m iot_stream.evaluate.bench.load TASK`: publishes readings of many devices, encoded beforehand.

Either through a broker, or directly: then it is the broker, of the one client that connects.
"""

import socket
import time
from collections.abc import Iterator

import msgspec

from iot_stream import topics
from iot_stream.clock import wall
from iot_stream.evaluate.bench.process import Task, main, say, wait_for_go
from iot_stream.ingest import packets
from iot_stream.ingest.packets import MQTT5, MQTT311
from iot_stream.mqtt import RECEIVE_MAXIMUM

WINDOW = RECEIVE_MAXIMUM  # messages at QoS 1 on their way
CHUNK = 50  # messages written at once
STEP_NS = 10_000_000
PIPELINE = "bench"
CHANNELS = ("vibration", "temperature")
CONNACK_5 = b"\x20\x03\0\0\0"


def encoded(task: Task, version: int) -> list[bytes]:
    """Chunks of packets: the devices take turns, each numbers its readings."""
    readings, devices = task["readings"], task["devices"]
    start = wall() - task["messages"] * readings * STEP_NS
    names = [
        topics.TELEMETRY.of(prefix=task["prefix"], pipeline=PIPELINE, device=f"machine-{i:04d}")
        for i in range(devices)
    ]
    chunks, chunk = [], []
    for i in range(task["messages"]):
        seq = i // devices * readings
        message = topics.Telemetry(
            {name: [round(0.1 * ((i + k) % 97) + j, 2) for j in range(readings)]
             for k, name in enumerate(CHANNELS)},
            "bench",
            seq,
            start + seq * STEP_NS,
            STEP_NS if readings > 1 else 0,
        )  # fmt: skip
        mid = i % 65535 + 1 if task["qos"] else 0
        chunk.append(packets.publish(names[i % devices], msgspec.json.encode(message), version, mid=mid))
        if len(chunk) == task.get("chunk", CHUNK) or i + 1 == task["messages"]:
            chunks.append(b"".join(chunk))
            chunk = []
    return chunks


def send(to: socket.socket, chunks: list[bytes], task: Task) -> list[int]:
    """When each chunk was sent (ns). At QoS 1 no more than WINDOW messages are unacknowledged; at a `rate`
    (chunks/s) no chunk goes before its time."""
    size = task.get("chunk", CHUNK)
    pause = 1e9 / task["rate"] if task.get("rate") else 0
    sent_at: list[int] = []
    answered = 0
    began = time.monotonic_ns()
    for i, chunk in enumerate(chunks):
        if pause and (ahead := began + i * pause - time.monotonic_ns()) > 0:
            time.sleep(ahead / 1e9)
        while task["qos"] and (i + 1) * size - answered // 4 > WINDOW:
            answered += _answers(to)
        sent_at.append(time.monotonic_ns())
        to.sendall(chunk)
    while task["qos"] and answered // 4 < task["messages"]:
        answered += _answers(to)
    return sent_at


def _answers(of: socket.socket) -> int:
    """Bytes of PUBACKs. The kernel must not wait with its own acknowledgement, or the broker's would too."""
    size = len(of.recv(1 << 16))
    if hasattr(socket, "TCP_QUICKACK"):  # Linux
        of.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
    return size


def connected(port: int) -> socket.socket:
    """A client of the broker there."""
    to = socket.create_connection(("127.0.0.1", port))
    to.sendall(
        packets.connect(
            "load", MQTT311, keep_alive=0, session_s=0, receive_maximum=WINDOW, max_packet=1 << 20
        )
    )
    if to.recv(4)[3]:
        raise ConnectionRefusedError
    return to


def accepted() -> socket.socket:
    """The client that connects to us, once it has subscribed."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        say(port=server.getsockname()[1])
        to, _ = server.accept()
    for first, body in _packets(to):
        if first & 0xF0 == 0x10:
            to.sendall(CONNACK_5)
        elif first & 0xF0 == 0x80:
            to.sendall(b"\x90\x04" + body[:2] + b"\0\x01")
            break
    return to


def _packets(of: socket.socket) -> Iterator[tuple[int, bytes]]:
    data = b""
    while True:
        data += of.recv(1 << 16)
        while len(data) > 1:
            size, head = packets.length_at(data, 1, len(data))
            if size < 0 or len(data) < head + size:
                break
            first, body, data = data[0], data[head : head + size], data[head + size :]
            yield first, body


def work(task: Task) -> None:
    to = connected(task["port"]) if "port" in task else accepted()
    to.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    chunks = encoded(task, MQTT311 if "port" in task else MQTT5)
    say(ready=True)
    wait_for_go()
    began = time.monotonic_ns()
    sent_at = send(to, chunks, task)
    say(began=began, ended=time.monotonic_ns(), sent_at=sent_at if task.get("rate") else [])
    wait_for_go()  # the connection stays until all has been read


if __name__ == "__main__":
    main(work)
