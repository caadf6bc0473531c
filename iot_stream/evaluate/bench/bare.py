"""`python -m iot_stream.evaluate.bench.bare TASK`: a consumer that only counts, and acknowledges at QoS 1.

It looks at no more of a message than it must: nothing in Python that uses its messages can be faster.
"""

import socket
import time

from iot_stream.evaluate.bench.process import Task, main, say
from iot_stream.ingest import packets
from iot_stream.ingest.packets import MQTT5
from iot_stream.mqtt import RECEIVE_MAXIMUM

BUFFER = 1 << 20


def work(task: Task) -> None:
    with socket.create_connection(("127.0.0.1", task["port"])) as broker:
        broker.sendall(
            packets.connect(
                f"{task['prefix']}-bare", MQTT5,
                keep_alive=0, session_s=3600, receive_maximum=RECEIVE_MAXIMUM, max_packet=1 << 24,
            )
        )  # fmt: skip
        broker.recv(BUFFER)
        broker.sendall(packets.subscribe(1, [f"{task['prefix']}/#"], MQTT5))
        broker.recv(6)
        say(ready=True)
        before = time.process_time()
        count(broker, task["messages"])
        say(last=time.monotonic_ns(), cpu_s=time.process_time() - before)


def count(broker: socket.socket, wanted: int) -> None:
    buffer = bytearray(BUFFER)
    view, end, heard = memoryview(buffer), 0, 0
    while heard < wanted:
        read = broker.recv_into(view[end:])
        if not read:
            raise ConnectionResetError
        end += read
        place, mids = 0, []
        while end - place >= 5:
            first, size, head = buffer[place], buffer[place + 1], place + 2
            if size > 127:
                size, head = (size & 127) | buffer[place + 2] << 7, place + 3
            if head + size > end:
                break
            if first & 0xF0 == packets.PUBLISH:
                heard += 1
                if first & 6:
                    at = head + 2 + (buffer[head] << 8 | buffer[head + 1])
                    mids.append(buffer[at : at + 2])
            place = head + size
        if mids:
            broker.sendall(packets.pubacks(mids))
        buffer[: end - place] = buffer[place:end]
        end -= place


if __name__ == "__main__":
    main(work)
