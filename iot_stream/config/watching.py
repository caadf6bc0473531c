"""How a service is watched from outside."""

from typing import Annotated

from msgspec import Meta

from iot_stream.address import Settings
from iot_stream.units import Duration


class HomeAssistant(Settings, frozen=True):
    discovery_prefix: Annotated[
        str,
        Meta(pattern=r"^[^+#\s]+$", description="Where Home Assistant looks for devices: its own setting"),
    ] = "homeassistant"
    birth: Annotated[
        str,
        Meta(pattern=r"^[^+#\s]+$", description="Topic on which it says `online` when it has started"),
    ] = "homeassistant/status"
    expire: Annotated[
        Duration | None,
        Meta(
            description="After so long without a new one a prediction is unknown, as of a sensor that fell "
            "silent; left out: the last one stands as long as its device is online"
        ),
    ] = None


class Metrics(Settings, frozen=True):
    host: Annotated[
        str,
        Meta(description="Address to listen on; 0.0.0.0 is every one, for whoever reaches this machine"),
    ] = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535, description="Port to listen on")] = 9464
    devices: Annotated[
        int,
        Meta(
            ge=0,
            description="So many devices, or cohorts, of a pipeline have series of their own; of more, one "
            "series stands for all",
        ),
    ] = 100


class Dashboard(Settings, frozen=True):
    host: Annotated[
        str,
        Meta(description="Address to listen on; 0.0.0.0 is every one, for whoever reaches this machine"),
    ] = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535, description="Port to listen on; 0: any that is free")] = 8480
    names: Annotated[
        tuple[str, ...],
        Meta(
            description="Names under which browsers may ask for it, beside localhost, this machine's name "
            "and any address in numbers"
        ),
    ] = ()
    token: Annotated[
        str,
        Meta(
            description="What a browser must show before it may change anything, best as ${VARIABLE}; left "
            "out: a new one at each start, which the log shows once"
        ),
    ] = ""
    read_only: Annotated[bool, Meta(description="Nothing can be changed, whatever a browser shows")] = False
