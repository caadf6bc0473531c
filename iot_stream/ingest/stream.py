"""Bytes from the broker to packets: one buffer, which the socket fills and the parser reads."""

import asyncio
from collections.abc import Callable

from iot_stream.ingest.packets import MQTT5, PUBLISH, ProtocolError, Received, length_at

BUFFER = 1 << 20
LEAST = 1 << 16  # of room for the next read
TOPICS = 100_000  # whose names are remembered


class Stream(asyncio.BufferedProtocol):
    """One connection. `took` is given the messages of a read at once, `told` any other packet (its first byte
    and what follows the length), `closed` the reason for the end."""

    def __init__(
        self,
        version: int,
        connection: int,
        max_packet: int,
        took: Callable[[list[Received]], None],
        told: Callable[[int, bytes], None],
        closed: Callable[[str], None],
    ) -> None:
        self._five = version == MQTT5
        self._connection, self._max_packet = connection, max_packet
        self._took, self._told, self._closed = took, told, closed
        self._buffer = memoryview(bytearray(BUFFER))
        self._end = self._wanted = 0
        self._topics: dict[bytes, str] = {}
        self._fault = ""
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def connection_lost(self, error: Exception | None) -> None:
        self._closed(self._fault or (str(error) if error else "the broker closed it"))

    def get_buffer(self, _: int) -> memoryview:
        return self._buffer[self._end :]

    def buffer_updated(self, count: int) -> None:
        self._end += count
        if self._end < self._wanted:
            return
        messages: list[Received] = []
        try:
            begin = self._parse(bytes(self._buffer[: self._end]), messages)
        except ProtocolError as error:
            self._fault = f"what came is no MQTT: {error}"
            assert self.transport
            self.transport.abort()
            return
        finally:
            if messages:
                self._took(messages)
        self._keep(begin)

    def _keep(self, begin: int) -> None:
        """What is not complete moves to the front of a buffer that has room for it."""
        rest = self._end - begin
        size = max(BUFFER, self._wanted + LEAST)
        if size != len(self._buffer):
            larger = memoryview(bytearray(size))
            larger[:rest] = self._buffer[begin : self._end]
            self._buffer = larger
        elif begin:
            self._buffer[:rest] = bytes(self._buffer[begin : self._end])
        self._end = rest

    def _parse(self, data: bytes, messages: list[Received]) -> int:
        """Where the first incomplete packet begins; `_wanted` is its size, as far as that is known."""
        end, place, topics = len(data), 0, self._topics
        self._wanted = 0
        while end - place >= 2:
            first, size, head = data[place], data[place + 1], place + 2
            if size > 127:
                size, head = length_at(data, place + 1, end)
                if size < 0:
                    break
            stop = head + size
            if stop > end:
                if size > self._max_packet:
                    raise ProtocolError(f"a packet of {size} bytes, at most {self._max_packet} were agreed")
                self._wanted = stop - place
                break
            place = stop
            if first & 0xF0 != PUBLISH:
                self._told(first, data[head:stop])
                continue
            body = head + 2 + (data[head] << 8 | data[head + 1]) if size > 1 else stop + 1
            name = data[head + 2 : body]
            mid = 0
            if first & 6 and body + 2 <= stop:
                mid = data[body] << 8 | data[body + 1]
                body += 2
            if self._five and body < stop:
                properties, body = length_at(data, body, stop) if data[body] else (0, body + 1)
                body += properties if properties >= 0 else stop
            elif self._five:
                body = stop + 1
            if body > stop:
                raise ProtocolError("a PUBLISH that ends before its payload")
            topic = topics.get(name) or self._remember(name)
            messages.append(Received(topic, data[body:stop], mid, self._connection))
        return place

    def _remember(self, name: bytes) -> str:
        if len(self._topics) >= TOPICS:
            self._topics.clear()
        topic = self._topics[name] = name.decode(errors="replace")
        return topic
