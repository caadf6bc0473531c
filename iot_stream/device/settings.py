"""What a device is started with: one file, written by `iot-stream device add`.

JSON, not YAML: a machine writes it, and the YAML library would cost every device a megabyte.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from iot_stream import mistakes
from iot_stream.address import Address, Broker
from iot_stream.device.health import Rules
from iot_stream.device.inputs.kinds import Call, Mqtt, Serial, Stdin
from iot_stream.errors import ConfigError, DataError
from iot_stream.readings import device_name
from iot_stream.units import Duration, Size
from iot_stream.upload import DeviceUpload

LEAST = 64_000  # bytes of an outbox


class DeviceSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The file's settings."""

    pipeline: Annotated[str, Meta(description="Pipeline whose model the device runs")]
    device: Annotated[str, Meta(description="Name of the device, as it stands in topics")]
    root: Annotated[str, Meta(description="Root of trust: the text of the newest root")]
    broker: Annotated[Broker | str, Meta(description="A URL, or {url, user, password, ca}")] = Broker()
    prefix: Annotated[str, Meta(description="First level of all topics")] = "iot"
    cohort: Annotated[str, Meta(description="Cohort to follow until the service names another")] = "all"
    runtime: Annotated[
        Literal["auto", "onnxruntime", "numpy", "litert"],
        Meta(description="What runs its models; auto: onnxruntime where it is installed, else numpy"),
    ] = "auto"
    state: Annotated[str, Meta(description="Folder of its models, from this file's folder")] = "state"

    max_packet: Annotated[
        int,
        Meta(ge=0, description="Bytes of the largest message that it takes; 0: whatever the broker sends"),
    ] = 0

    health: Annotated[Rules, Meta(description="When it goes back to the version before")] = Rules()
    channels: Annotated[
        tuple[str, ...], Meta(description="What it reads, in order; mqtt may leave it to its own `channels`")
    ] = ()
    input: Annotated[
        Stdin | Serial | Call | Mqtt, Meta(description="Where readings come from, see the kinds of input")
    ] = Stdin()
    publish_readings: Annotated[
        bool | None,
        Meta(
            description="Whether its readings go up; left out: yes, but for mqtt, whose topic the service "
            "reads"
        ),
    ] = None
    upload: Annotated[
        DeviceUpload | None,
        Meta(
            description="For a link that costs: the most telling windows go up, not all readings; written by "
            "`device add` as the pipeline's `upload` says"
        ),
    ] = None
    outbox: Annotated[
        Size,
        Meta(
            description="On disk for what cannot be sent while the broker is away; the oldest go when it is "
            "full; 0 B: nothing is kept"
        ),
    ] = Size(64_000_000)

    @property
    def address(self) -> Address:
        return _broker(self.broker).address()

    @property
    def input_address(self) -> Address:
        """Of the broker that an mqtt input listens to."""
        own = self.input.broker if isinstance(self.input, Mqtt) else None
        return self.address if own is None else _broker(own).address()

    @property
    def publishes(self) -> bool:
        own = not isinstance(self.input, Mqtt)
        return own if self.publish_readings is None else self.publish_readings

    @classmethod
    def load(cls, path: Path) -> "DeviceSettings":
        """Raises ConfigError with the place."""
        content = b""
        try:
            content = path.read_bytes()
            settings = msgspec.json.decode(content, type=cls, dec_hook=_parsed)
            name = device_name(settings.device)
        except OSError as error:
            raise ConfigError(f"{path}: {error.strerror}; `iot-stream device add NAME` writes it") from error
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            wrong = _wrong(str(error), content)
            raise ConfigError(f"{path}: {wrong}; `iot-stream device add NAME` writes it anew") from error
        except DataError as error:
            raise ConfigError(f"{path}: device: {error.detail}") from error
        if 0 < settings.outbox < LEAST:
            raise ConfigError(f"{path}: outbox: at least {LEAST // 1000} kB, or 0 B for none")
        state = path.parent / settings.state
        broker, read = _broker(settings.broker).beside(path.parent), settings.input
        if isinstance(read, Mqtt) and read.broker is not None:
            read = msgspec.structs.replace(read, broker=_broker(read.broker).beside(path.parent))
        return msgspec.structs.replace(settings, device=name, state=str(state), broker=broker, input=read)

    def dump(self) -> str:
        """JSON that `load` reads."""
        return msgspec.json.format(msgspec.json.encode(self, enc_hook=_written)).decode() + "\n"


def _wrong(message: str, content: bytes) -> str:
    """What msgspec says of a file, in words that a person understands."""
    if not content.strip():
        return "is empty"
    if "truncated" in message:
        return "ends in the midst of its JSON"
    steps = mistakes.steps_of(message)
    place = f"{'.'.join(steps)}: " if steps else ""
    if name := mistakes.unknown(message):
        return place + mistakes.unknown_setting(name, DeviceSettings, msgspec.json.decode(content), steps)
    return place + mistakes.plain(mistakes.without_place(message))


def _broker(told: Broker | str) -> Broker:
    return Broker(url=told) if isinstance(told, str) else told


def _parsed(kind: type[Any], value: object) -> Any:
    try:
        return kind.parse(value)
    except ConfigError as error:
        raise ValueError(str(error)) from error  # to which msgspec adds the place


def _written(value: object) -> str:
    if isinstance(value, Duration):
        return f"{int(value)} ns"
    if isinstance(value, Size):
        return f"{int(value)} B"
    raise NotImplementedError(f"{value!r} in the settings of a device")  # as msgspec asks of a hook
