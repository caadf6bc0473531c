"""What a device is started with: one file, written by `iot-stream device add`.

JSON, not YAML: a machine writes it, and the YAML library would cost every device a megabyte.
"""

from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from iot_stream.address import Address, Broker
from iot_stream.errors import ConfigError, DataError
from iot_stream.readings import check_device_name


class DeviceSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The file's settings."""

    pipeline: Annotated[str, Meta(description="Pipeline whose model the device runs")]
    device: Annotated[str, Meta(description="Name of the device, as it stands in topics")]
    root: Annotated[str, Meta(description="Root of trust: the text of 1.root.json")]
    broker: Annotated[Broker | str, Meta(description="A URL, or {url, user, password, ca}")] = Broker()
    prefix: Annotated[str, Meta(description="First level of all topics")] = "iot"
    cohort: Annotated[str, Meta(description="Cohort to follow until the service names another")] = "all"
    state: Annotated[str, Meta(description="Folder of its models, from this file's folder")] = "state"

    @property
    def address(self) -> Address:
        return (Broker(url=self.broker) if isinstance(self.broker, str) else self.broker).address()

    @classmethod
    def load(cls, path: Path) -> "DeviceSettings":
        """Raises ConfigError with the place."""
        try:
            settings = msgspec.json.decode(path.read_bytes(), type=cls)
            check_device_name(settings.device)
        except OSError as error:
            raise ConfigError(f"{path}: {error.strerror}; `iot-stream device add NAME` writes it") from error
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path}: {error}; `iot-stream device add NAME` writes it anew") from error
        except DataError as error:
            raise ConfigError(f"{path}: device: {error.detail}") from error
        state = path.parent / settings.state
        return msgspec.structs.replace(settings, state=str(state))

    def dump(self) -> str:
        """JSON that `load` reads."""
        return msgspec.json.format(msgspec.json.encode(self)).decode() + "\n"
