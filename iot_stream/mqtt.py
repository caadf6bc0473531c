"""The one seam to the MQTT client library.

MQTT 5, and 3.1.1 where the broker has no more. A connection keeps itself alive: it comes back by
itself with a growing, jittered pause, takes up its session and its subscriptions. Messages are
given to `on_message` on the network thread; with `manual_ack` they are acknowledged only when the
taker says so, in order, and a message of a former connection is not acknowledged on a new one.
"""

import logging
import ssl
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from paho.mqtt.client import MQTT_ERR_NO_CONN, MQTT_ERR_SUCCESS, Client, MQTTMessage, MQTTMessageInfo
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from iot_stream.address import Address
from iot_stream.errors import BrokerError

log = logging.getLogger(__name__)

MAX_PACKET = 64 * 1024 * 1024
SESSION_S = 7 * 86_400
RECEIVE_MAXIMUM = 4000
SHORT_S = 5  # connections that last no longer, one after the other, have a reason
AROUND = 12  # bytes of a packet beside topic and payload
UNSUPPORTED_VERSION, TAKEN_OVER = 132, 142
OTHER_NAME = (62, 64)  # of OpenSSL: the certificate is for another host name, or address
MQTT5, MQTT311 = MQTTProtocolVersion.MQTTv5, MQTTProtocolVersion.MQTTv311


@dataclass(frozen=True, slots=True)
class Message:
    topic: str
    payload: bytes
    retained: bool
    mid: int
    qos: int
    connection: int


@dataclass(frozen=True)
class Will:
    topic: str
    payload: bytes


def _leave(client: Client, will: Will) -> None:
    client.will_set(will.topic, will.payload, qos=1, retain=True)


def untrusted(address: Address, error: BaseException | None) -> BrokerError | None:
    """What to say where the broker's certificate could not be verified; None of any other error."""
    if not isinstance(error, ssl.SSLCertVerificationError):
        return None
    why = f"no connection to {address}: {error.verify_message.rstrip('.')}"
    if error.verify_code in OTHER_NAME:
        return BrokerError(f"{why}; reach the broker by a name that its certificate has")
    return BrokerError(
        f"{why}; name the authority that signed its certificate: --ca, or `ca` under `broker:`"
    )


class Connection:
    """One client of the broker. Nothing happens before `start`. `will` may be made anew at each attempt to
    connect. `max_packet`: bytes of the largest message that the broker may send, 0 for any we can bear."""

    def __init__(
        self,
        address: Address,
        client_id: str,
        on_message: Callable[[Message], None],
        *,
        will: Will | Callable[[], Will] | None = None,
        on_connect: Callable[[], None] | None = None,
        durable: bool = False,
        manual_ack: bool = False,
        max_packet: int = 0,
    ) -> None:
        self.address = address
        self.client_id = client_id
        self.max_packet = 0  # what the broker says it takes; 0: it does not say
        self._on_message = on_message
        self._on_connect = on_connect
        self._will = will
        self._durable = durable
        self._takes = max_packet or MAX_PACKET
        self._manual_ack = manual_ack
        self._subscriptions: dict[str, int] = {}
        self._lock = threading.Lock()
        self._connected = threading.Event()
        self._answered = threading.Event()  # yes or no, to the first attempt
        self._refusal = ""
        self._generation = 0
        self._since = 0.0
        self._short = 0  # connections one after the other that did not last
        self._stopping = False
        self._away = False  # which has been said
        self._client = self._make(MQTT5)

    def _make(self, version: MQTTProtocolVersion) -> Client:
        session: dict[str, Any] = {} if version == MQTT5 else {"clean_session": not self._durable}
        client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=self.client_id,
            protocol=version,
            manual_ack=self._manual_ack,
            transport="websockets" if self.address.websocket else "tcp",
            **session,
        )
        client.max_inflight_messages_set(RECEIVE_MAXIMUM)
        client.max_queued_messages_set(0)
        client.reconnect_delay_set(1, 30)
        if self.address.user:
            client.username_pw_set(self.address.user, self.address.password or None)
        if self.address.tls:
            client.tls_set_context(self.address.tls_context())
        if self.address.websocket:
            client.ws_set_options(path=self.address.websocket)
        if will := self._will:
            client.on_pre_connect = lambda client, _: _leave(client, will() if callable(will) else will)
        client.on_connect = self._connected_to_broker
        client.on_disconnect = self._disconnected
        client.on_connect_fail = self._missed
        client.on_message = self._received
        return client

    def start(self, timeout: float = 10, *, patient: bool = False) -> None:
        """Connect and go on in the background.

        Raises BrokerError if the broker refuses, is silent or is not there; if `patient`, returns at
        once and goes on trying.
        """
        if patient:
            self._dial(self._client.connect_async)
            self._client.loop_start()
            return
        self._dial(self._client.connect)
        self._client.loop_start()
        self._answered.wait(timeout)
        if not self._connected.is_set():
            refusal = self._refusal or f"no answer within {timeout:g} s"
            self.stop()
            raise BrokerError(
                f"no connection to {self.address}: {refusal}; is the broker running, are `broker:`'s "
                f"address, user and password right?"
            )

    def _dial(self, connect: Callable[..., object]) -> None:
        properties = None
        clean: dict[str, Any] = {}
        if self._client.protocol == MQTT5:
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho's
            properties.ReceiveMaximum = RECEIVE_MAXIMUM
            properties.MaximumPacketSize = self._takes
            if self._durable:
                properties.SessionExpiryInterval = SESSION_S
            clean["clean_start"] = not self._durable
        try:
            connect(self.address.host, self.address.port, keepalive=30, properties=properties, **clean)
        except OSError as error:
            raise untrusted(self.address, error) or BrokerError(
                f"no connection to {self.address}: {error}; is the broker running?"
            ) from error

    def _connected_to_broker(
        self, client: Client, _: Any, __: Any, reason: ReasonCode, properties: Properties | None
    ) -> None:
        if reason.is_failure:
            if reason.value == UNSUPPORTED_VERSION and client.protocol == MQTT5:
                threading.Thread(target=self._fall_back, name="mqtt-311", daemon=True).start()
                return
            log.warning("%s refused %s: %s", self.address, self.client_id, reason)
            self._refusal = str(reason)
            self._answered.set()
            return
        self.max_packet = int(getattr(properties, "MaximumPacketSize", 0) or 0)
        with self._lock:
            self._generation += 1
            self._since = time.monotonic()
            wanted = dict(self._subscriptions)
        for pattern, qos in wanted.items():
            self._ask(pattern, qos)
        if self._away or self._generation > 1:
            self._away = False
            log.info("connection of %s to %s: there again", self.client_id, self.address)
        if self._on_connect:
            self._on_connect()
        self._connected.set()
        self._answered.set()

    def _fall_back(self) -> None:
        """MQTT 3.1.1, for a broker that has no 5. On a thread of its own: the network thread ends here."""
        self._client.disconnect()
        self._client.loop_stop()
        try:
            with self._lock:
                if self._stopping:
                    return
                self._client = self._make(MQTT311)
                self._dial(self._client.connect)
                self._client.loop_start()
        except BrokerError as error:
            self._refusal = str(error)
            self._answered.set()

    def _missed(self, _: Client, __: Any) -> None:
        """Each attempt, at each address of the broker's name: said once."""
        if not self._away:
            self._away = True
            # paho handles the error here, and tells nobody of it.
            if mistrust := untrusted(self.address, sys.exception()):
                log.warning("%s; trying again: %s", mistrust, self.client_id)
            else:
                log.warning("%s is not there; trying again: %s", self.address, self.client_id)

    def _disconnected(self, _: Client, __: Any, ___: Any, reason: ReasonCode, ____: Any) -> None:
        self._connected.clear()
        if reason.is_failure:
            self._short = self._short + 1 if time.monotonic() - self._since < SHORT_S else 0
            taken = reason.value == TAKEN_OVER or self._short >= 3  # older mosquittos do not say why
            remedy = "Stop one, or give it a login of its own"
            twin = f"; does another one run under the same name? {remedy}" if taken else ""
            log.warning("connection of %s to %s lost: %s%s", self.client_id, self.address, reason, twin)

    def _received(self, _: Client, __: Any, message: MQTTMessage) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError:
            topic = ""
        self._on_message(
            Message(topic, bytes(message.payload), message.retain, message.mid, message.qos, self._generation)
        )

    @property
    def connected(self) -> bool:
        return self._connected.is_set()

    @property
    def speaks_5(self) -> bool:
        """Whether it is MQTT 5, and not 3.1.1."""
        return self._client.protocol == MQTT5

    def subscribe(self, pattern: str, qos: int = 1) -> None:
        """Subscribe now and after every reconnection."""
        with self._lock:
            self._subscriptions[pattern] = qos
        # Not `connected`: that is set only when the subscriptions of before have been taken up.
        if self._client.is_connected():
            self._ask(pattern, qos)

    def _ask(self, pattern: str, qos: int) -> None:
        if self._client.protocol == MQTT5:
            self._client.subscribe(pattern, options=SubscribeOptions(qos=qos))
        else:
            self._client.subscribe(pattern, qos=qos)

    def unsubscribe(self, pattern: str) -> None:
        with self._lock:
            self._subscriptions.pop(pattern, None)
        if self._client.is_connected():
            self._client.unsubscribe(pattern)

    def acknowledge(self, mid: int, connection: int) -> None:
        """PUBACK, unless the connection that brought the message has gone (the broker brings it again)."""
        if connection == self._generation:
            self._client.ack(mid, 1)

    def publish(self, topic: str, payload: bytes, qos: int = 1, retain: bool = False) -> MQTTMessageInfo:
        """Queue a message; the result tells when it is acknowledged.

        At QoS 1 what is published while offline is kept and sent later, up to 65,535 messages; beyond
        them, or for more bytes than the broker takes, which would end the connection, it raises BrokerError.
        """
        if 0 < self.max_packet < len(payload) + len(topic.encode()) + AROUND:
            most = f"the broker at {self.address} takes at most {self.max_packet}"
            raise BrokerError(
                f"{topic}: {len(payload)} bytes, {most}; send less at once, or raise its `max_packet_size`"
            )
        info = self._client.publish(topic, payload, qos=qos, retain=retain)
        if info.rc == MQTT_ERR_NO_CONN:
            info.rc = MQTT_ERR_SUCCESS  # paho keeps it, yet would raise whenever the result is asked
        if info.rc != MQTT_ERR_SUCCESS:
            raise BrokerError(f"{topic}: not queued, {info.rc!r}; is the broker at {self.address} running?")
        return info

    def publish_and_wait(self, topic: str, payload: bytes, retain: bool = False, timeout: float = 30) -> None:
        """Publish at QoS 1; raises BrokerError unless the broker acknowledges in time."""
        acknowledged = False
        if self._connected.wait(timeout):
            info = self.publish(topic, payload, 1, retain)
            info.wait_for_publish(timeout)
            acknowledged = info.is_published()
        if not acknowledged:
            raise BrokerError(f"{topic}: the broker at {self.address} did not acknowledge within {timeout} s")

    def stop(self) -> None:
        """Disconnect cleanly and end the network thread."""
        with self._lock:
            self._stopping = True
        self._client.disconnect()
        self._client.loop_stop()
        # paho closes the sockets by which it wakes its thread when the client goes: here, and not at some
        # later collection of garbage.
        self._client = self._make(self._client.protocol)
