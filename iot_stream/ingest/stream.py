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
        self._end = 0
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
        messages: list[Received] = []
        try:
            begin, wanted = self._parse(messages)
        except ProtocolError as error:
            self._fault = f"what came is no MQTT: {error}"
            assert self.transport
            self.transport.abort()
            return
        finally:
            if messages:
                self._took(messages)
        self._keep(begin, wanted)

    def _keep(self, begin: int, wanted: int) -> None:
        """What is not complete moves to the front of a buffer that has room for it."""
        rest = self._end - begin
        size = BUFFER if wanted + LEAST <= BUFFER else wanted + LEAST
        if size != len(self._buffer):
            larger = memoryview(bytearray(size))
            larger[:rest] = self._buffer[begin : self._end]
            self._buffer = larger
        elif begin:
            self._buffer[:rest] = bytes(self._buffer[begin : self._end])
        self._end = rest

    def _parse(self, messages: list[Received]) -> tuple[int, int]:
        """Where the first incomplete packet begins, and its size as far as it is known."""
        view, end, place = self._buffer, self._end, 0
        while end - place >= 2:
            first, size, head = view[place], view[place + 1], place + 2
            if size > 127:
                size, head = length_at(view, place + 1, end)
                if size < 0:
                    break
            stop = head + size
            if stop > end:
                if size > self._max_packet:
                    raise ProtocolError(f"a packet of {size} bytes, at most {self._max_packet} were agreed")
                return place, stop - place
            if first & 0xF0 == PUBLISH:
                messages.append(self._message(view, first, head, stop))
            else:
                self._told(first, bytes(view[head:stop]))
            place = stop
        return place, 0

    def _message(self, view: memoryview, first: int, head: int, stop: int) -> Received:
        body = head + 2 + (view[head] << 8 | view[head + 1]) if stop - head >= 2 else stop + 1
        name = bytes(view[head + 2 : body])
        topic = self._topics.get(name)
        if topic is None:
            topic = self._remember(name)
        mid = 0
        if first & 6 and body + 2 <= stop:
            mid = view[body] << 8 | view[body + 1]
            body += 2
        if self._five:
            size, body = length_at(view, body, stop)
            body += size if size >= 0 else stop + 1
        if body > stop:
            raise ProtocolError("a PUBLISH that ends before its payload")
        return Received(topic, bytes(view[body:stop]), mid, self._connection)

    def _remember(self, name: bytes) -> str:
        if len(self._topics) >= TOPICS:
            self._topics.clear()
        topic = self._topics[name] = name.decode(errors="replace")
        return topic
