"""Bytes from the broker to packets: one buffer, which the socket fills and the parser reads."""

import asyncio
from collections.abc import Callable

from iot_stream.ingest.packets import MQTT5, PUBLISH, ProtocolError, Received, length_at

BUFFER = 1 << 20
LEAST = 1 << 16  # of room for the next read
TOPICS = 100_000  # whose names are remembered
START = 7  # bytes of a packet in which its size, and that of a PUBLISH's topic, stand
STARTS = 10_000  # that are remembered

Start = tuple[int, int, int, bool]
"""The size of a packet, where what follows its length begins, where its topic ends (0: it has none), and
whether it has a number."""


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
        self._starts: dict[bytes, Start] = {}
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
        end, place, topics, starts = len(data), 0, self._topics, self._starts
        five, connection, take = self._five, self._connection, messages.append
        self._wanted = 0
        while end - place >= 2:
            first_bytes = data[place : place + START]
            start = starts.get(first_bytes) or self._look(first_bytes)
            if start is None:
                break
            size, head, name_end, numbered = start
            stop = place + size
            if stop > end:
                if size > self._max_packet:
                    raise ProtocolError(f"a packet of {size} bytes, at most {self._max_packet} were agreed")
                self._wanted = size
                break
            if not name_end:
                self._told(data[place], data[place + head : stop])
                place = stop
                continue
            body = place + name_end
            topic = topics.get(name := data[place + head + 2 : body]) or self._remember(name)
            mid = b""
            if numbered:
                mid = data[body : body + 2]
                body += 2
            if five:
                if body < stop and data[body]:
                    properties, body = length_at(data, body, stop)
                    body += properties if properties >= 0 else stop
                else:
                    body += 1
            if body > stop:
                raise ProtocolError("a PUBLISH that ends before its payload")
            take(Received(topic, data[body:stop], mid, connection))
            place = stop
        return place

    def _look(self, first_bytes: bytes) -> Start | None:
        """Remembered, for packets that follow each other begin alike; None where the length is not all there
        yet."""
        size, head = length_at(first_bytes, 1, len(first_bytes))
        if size < 0:
            return None
        name_end = 0
        if first_bytes[0] & 0xF0 == PUBLISH:
            # A topic's length that is not there, in a packet that is, ends behind it.
            known = size > 1 and len(first_bytes) >= head + 2
            name_end = head + 2 + (int.from_bytes(first_bytes[head : head + 2]) if known else size)
        start = head + size, head, name_end, bool(first_bytes[0] & 6)
        if len(first_bytes) == START:
            if len(self._starts) >= STARTS:
                self._starts.clear()
            self._starts[first_bytes] = start
        return start

    def _remember(self, name: bytes) -> str:
        if len(self._topics) >= TOPICS:
            self._topics.clear()
        topic = self._topics[name] = name.decode(errors="replace")
        return topic
