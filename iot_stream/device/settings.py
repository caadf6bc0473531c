"""What a device is started with: one file, written by `iot-stream device add`."""

from pathlib import Path
from typing import Annotated

import msgspec
import yaml
from msgspec import Meta

from iot_stream.address import Address, Broker
from iot_stream.errors import ConfigError, DataError
from iot_stream.readings import check_device_name
from iot_stream.yaml_lines import convert
from iot_stream.yaml_lines import load as load_yaml


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
        data, lines = load_yaml(path)
        settings: DeviceSettings = convert(data, cls, None, str(path), lines)
        try:
            check_device_name(settings.device)
        except DataError as error:
            raise ConfigError(f"{path}: device: {error.detail}") from error
        state = path.parent / settings.state
        return msgspec.structs.replace(settings, state=str(state))

    def dump(self) -> str:
        """YAML that `load` reads."""
        return yaml.safe_dump(msgspec.to_builtins(self), sort_keys=False)
