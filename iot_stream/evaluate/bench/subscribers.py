"""`python -m iot_stream.evaluate.bench.subscribers TASK`: many clients on raw sockets, each waiting for one
retained message at QoS 1, which it acknowledges.

Told `go`, those of a live release wait for the next message on their topic; late ones subscribe only then.
Says when the last one had all of it, on the machine's monotonic clock.
"""

import selectors
import socket
import struct
import time
from dataclasses import dataclass, field

from iot_stream.evaluate.bench.process import Task, main, say, wait_for_go
from iot_stream.ingest import packets
from iot_stream.ingest.packets import MQTT311

LOOPBACK = "127.0.0.1"
PATIENCE_S = 60.0
RESET = struct.pack("ii", 1, 0)
CONNACK, SUBACK = 4, 5  # bytes, in MQTT 3.1.1


@dataclass
class _Client:
    to: socket.socket
    data: bytearray = field(default_factory=bytearray)


def connected(port: int, name: str) -> socket.socket:
    """And answered: of many at once a broker's backlog is full, and each then waits a second."""
    to = socket.create_connection((LOOPBACK, port))
    to.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)  # else its port is not free again for a minute
    hello = packets.connect(name, MQTT311, keep_alive=0, session_s=0, receive_maximum=10, max_packet=1 << 24)
    to.sendall(hello)
    read(to, CONNACK)
    return to


def asks(to: socket.socket, topic: str) -> None:
    to.sendall(packets.subscribe(1, [topic], MQTT311))


def read(to: socket.socket, size: int) -> None:
    """An answer of so many bytes has come; raises ConnectionError where the broker has hung up."""
    while size:
        came = len(to.recv(size))
        if not came:
            raise ConnectionError("the broker has hung up")
        size -= came


def wait_for_all(clients: list[_Client], size: int) -> int:
    """When the last client had a message of at least `size` bytes (ns); raises TimeoutError."""
    selector = selectors.EpollSelector()
    for client in clients:
        client.to.setblocking(False)
        selector.register(client.to, selectors.EVENT_READ, client)
    waiting, last, deadline = len(clients), 0, time.monotonic() + PATIENCE_S
    while waiting:
        found = selector.select(1.0)
        if time.monotonic() > deadline:
            raise TimeoutError(f"{waiting} of {len(clients)} subscribers have not got the release")
        for key, _ in found:
            holder: _Client = key.data
            holder.data += holder.to.recv(1 << 18)
            if _has_it(holder, size):
                last = time.monotonic_ns()
                selector.unregister(holder.to)
                waiting -= 1
    selector.close()
    return last


def _has_it(client: _Client, size: int) -> bool:
    """Takes whole packets; whether the message was among them, which it then acknowledges."""
    data, found = client.data, False
    while len(data) > 1:
        length, head = packets.length_at(memoryview(data)[:5], 1, min(5, len(data)))
        if length < 0 or len(data) < head + length:
            break
        body = bytes(data[head : head + length])
        if data[0] & 0xF0 == packets.PUBLISH and length >= size:
            topic = int.from_bytes(body[:2], "big")
            client.to.sendall(b"\x40\x02" + body[2 + topic : 4 + topic])
            found = True
        del data[: head + length]
    return found


def work(task: Task) -> None:
    names = [f"holder-{task['run']}-{i}" for i in range(task["subscribers"])]
    clients = [_Client(connected(task["port"], name)) for name in names]
    if task["kind"] == "live":
        for client in clients:
            asks(client.to, task["topic"])
        for client in clients:
            read(client.to, SUBACK)
    say(ready=True)
    wait_for_go()
    began = time.monotonic_ns()
    if task["kind"] == "late":
        for client in clients:
            asks(client.to, task["topic"])
    say(began=began, last=wait_for_all(clients, task["size"]))
    for client in clients:
        client.to.close()


if __name__ == "__main__":
    main(work)
