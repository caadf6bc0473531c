"""The collector's own way to the broker, for mqtt:// and mqtts://: any client library costs more for a
message than all else that the collector does with it (docs/benchmarks.md has the figures).

It comes back by itself with a growing, jittered pause and takes up its session; what was not acknowledged
comes again on the new connection, and an acknowledgement of a former one is not sent on it.
"""

import asyncio
import contextlib
import logging
import random
import threading
from collections.abc import Sequence

from iot_stream.address import Address
from iot_stream.errors import BrokerError, IotStreamError
from iot_stream.ingest import packets
from iot_stream.ingest.inbox import Inbox
from iot_stream.ingest.packets import MQTT5, MQTT311, ProtocolError, Received
from iot_stream.ingest.stream import Stream
from iot_stream.mqtt import MAX_PACKET, RECEIVE_MAXIMUM, SESSION_S, untrusted
from iot_stream.presence import Presence

log = logging.getLogger(__name__)

KEEP_ALIVE_S = 30
ANSWER_S = 10.0
LONGEST_PAUSE_S = 30.0
SHORT_S = 5.0  # connections that last no longer, one after the other, have a reason
UNSUPPORTED_VERSION = 0x84
INBOX_MESSAGES = 4 * RECEIVE_MAXIMUM
INBOX_BYTES = MAX_PACKET


class WireReceiver:
    """A durable session that receives `patterns` at QoS 1. Nothing happens before `start`."""

    def __init__(self, address: Address, client_id: str, patterns: Sequence[str], presence: Presence) -> None:
        self._address, self._client_id = address, client_id
        self._patterns, self._presence = patterns, presence
        self._inbox = Inbox(INBOX_MESSAGES, INBOX_BYTES, self._resume)
        self._version = MQTT5
        self._connection = 0
        self._refusal = ""
        self._mistrust: BrokerError | None = None
        self._answered = threading.Event()  # yes or no, to the first attempt
        self._connected = False
        self._short = 0  # connections one after the other that did not last
        self._alive = False  # something has come since the last look
        self._stopping = asyncio.Event()
        self._loop = asyncio.new_event_loop()
        self._transport: asyncio.Transport | None = None
        self._ended: asyncio.Future[str] | None = None
        self._thread = threading.Thread(target=self._work, name="receiver", daemon=True)

    def start(self) -> None:
        """Connect and go on in the background; raises BrokerError if the broker refuses, is silent or is not
        there."""
        self._thread.start()
        self._answered.wait()
        if not self._connected:
            self._end()
            raise self._mistrust or BrokerError(
                f"no connection to {self._address}: {self._refusal}; is the broker running, are `broker:`'s "
                f"address, user and password right?"
            )

    def take(self, most: int, wait_s: float, enough: int = 0) -> list[Received]:
        """Up to `most` messages: what comes within `wait_s` of the call, or until there are `enough`."""
        return self._inbox.take(most, wait_s, enough)

    def acknowledge(self, messages: Sequence[Received]) -> None:
        """PUBACK in the order of delivery, of those whose connection has not gone."""
        mids = [m.mid for m in messages if m.mid and m.connection == self._connection]
        if mids:
            self._send(packets.pubacks(mids), self._connection)

    def publish(self, topic: str, payload: bytes) -> None:
        """At QoS 0; lost while there is no connection."""
        self._send(packets.publish(topic, payload, self._version), self._connection)

    def say_again(self) -> None:
        """Our presence, which has changed."""
        self._send(self._say(online=True), self._connection)

    def stop(self) -> None:
        """Say that we are offline, disconnect cleanly and end the network thread."""
        self._end(self._say(online=False) + packets.GOODBYE)

    def _end(self, last_words: bytes = b"") -> None:
        def leave() -> None:
            self._write(last_words, self._connection)
            self._stopping.set()

        self._loop.call_soon_threadsafe(leave)
        self._thread.join()

    def _send(self, data: bytes, connection: int) -> None:
        self._loop.call_soon_threadsafe(self._write, data, connection)

    # --- on the network thread --------------------------------------------------------------

    def _work(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._keep_connected())
        finally:
            self._answered.set()  # whatever ended this thread, `start` does not wait for it
            self._loop.close()

    def _write(self, data: bytes, connection: int) -> None:
        if self._transport and connection == self._connection and not self._transport.is_closing():
            self._transport.write(data)

    def _resume(self) -> None:
        self._loop.call_soon_threadsafe(self._read_on)

    def _read_on(self) -> None:
        if self._transport:
            self._transport.resume_reading()

    def _took(self, messages: list[Received]) -> None:
        self._alive = True
        if not self._inbox.put(messages) and self._transport:
            self._transport.pause_reading()

    def _told(self, first: int, body: bytes) -> None:
        self._alive = True
        if first & 0xF0 == packets.SUBACK:
            for reason in packets.refused(body, self._version):
                log.error(
                    "%s refuses a subscription: %s; may %s read %s?",
                    self._address,
                    packets.reason_text(reason),
                    self._client_id,
                    ", ".join(self._patterns),
                )

    async def _keep_connected(self) -> None:
        pause = 1.0
        while not self._stopping.is_set():
            try:
                began = self._loop.time()
                await self._session()
                self._short = self._short + 1 if self._loop.time() - began < SHORT_S else 0
                pause = pause if self._short else 1.0
            except (OSError, UnicodeError, IotStreamError, ProtocolError) as error:
                silent = isinstance(error, TimeoutError)
                self._refusal = f"no answer within {ANSWER_S:g} s" if silent else str(error)
                self._mistrust = untrusted(self._address, error)
                why = self._mistrust or f"{self._address}: {self._refusal}"
                log.warning("%s; trying again: %s", why, self._client_id)
                self._answered.set()
            finally:
                if self._transport:
                    self._transport.close()
                    self._transport = None
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause * random.uniform(0.5, 1))
            pause = min(2 * pause, LONGEST_PAUSE_S)

    async def _session(self) -> None:
        """One connection from its beginning to its end; raises BrokerError if it has none."""
        connack = await self._open()
        if connack.reason == UNSUPPORTED_VERSION and self._version == MQTT5:
            self._version = MQTT311
            connack = await self._open()
        if connack.reason:
            raise BrokerError(f"refused, {packets.reason_text(connack.reason)}")
        self._write(packets.subscribe(1, self._patterns, self._version), self._connection)
        self._write(self._say(online=True), self._connection)
        self._connected = True
        if self._answered.is_set():  # yes or no, to an earlier attempt
            log.info("connection of %s to %s: there again", self._client_id, self._address)
        self._answered.set()
        assert self._ended
        stopped = asyncio.ensure_future(self._stopping.wait())
        heart = asyncio.ensure_future(self._beat(connack.keep_alive or KEEP_ALIVE_S))
        await asyncio.wait((self._ended, stopped, heart), return_when=asyncio.FIRST_COMPLETED)
        for task in (stopped, heart):
            task.cancel()
        if not self._stopping.is_set():
            why = self._ended.result() if self._ended.done() else "it is silent"
            # Mosquitto 2.0.11, for one, does not say why.
            twin = "; does another one run under the same name?" if self._short >= 2 else ""
            log.warning("connection of %s to %s lost: %s%s", self._client_id, self._address, why, twin)

    async def _open(self) -> packets.Connack:
        if self._transport:
            self._transport.close()
        self._connection += 1
        ended, connack = self._loop.create_future(), self._loop.create_future()
        self._ended = ended  # of this connection: the one before may end later

        def told(first: int, body: bytes) -> None:
            if first & 0xF0 == packets.CONNACK and not connack.done():
                connack.set_result(body)
            elif first & 0xF0 == packets.DISCONNECT:
                closed(packets.reason_text(body[0]) if body else "the broker said goodbye")
            else:
                self._told(first, body)

        def closed(why: str) -> None:
            if not ended.done():
                ended.set_result(why)

        stream = Stream(self._version, self._connection, MAX_PACKET, self._took, told, closed)
        tls = self._address.tls_context() if self._address.tls else None
        async with asyncio.timeout(ANSWER_S):
            self._transport, _ = await self._loop.create_connection(
                lambda: stream, self._address.host, self._address.port, ssl=tls
            )
            self._write(self._hello(), self._connection)
            await asyncio.wait((connack, ended), return_when=asyncio.FIRST_COMPLETED)
        if not connack.done():
            raise BrokerError(ended.result())
        return packets.connack(connack.result(), self._version)

    async def _beat(self, keep_alive: int) -> None:
        """Until nothing comes any more, though it was asked for (3.1.2.10)."""
        while True:
            self._alive = False
            self._write(packets.PINGREQ, self._connection)
            await asyncio.sleep(keep_alive / 2)
            if not self._alive and self._transport and self._transport.is_reading():
                return

    def _hello(self) -> bytes:
        return packets.connect(
            self._client_id,
            self._version,
            keep_alive=KEEP_ALIVE_S,
            session_s=SESSION_S,
            receive_maximum=RECEIVE_MAXIMUM,
            max_packet=MAX_PACKET,
            user=self._address.user,
            password=self._address.password,
            will=(self._presence.topic, self._presence.payload(online=False)),
        )

    def _say(self, *, online: bool) -> bytes:
        payload = self._presence.payload(online=online)
        return packets.publish(self._presence.topic, payload, self._version, retain=True)
