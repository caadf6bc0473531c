"""The worlds that the simulator can put sensors into: `world("bearing")`, `world("features")`."""

from iot_stream.errors import ConfigError, nearest
from simulator.world.base import Burst, Condition, Machine, World
from simulator.world.bearing import BEARING
from simulator.world.features import FEATURES

__all__ = ["WORLDS", "Burst", "Condition", "Machine", "World", "world"]

WORLDS: dict[str, World] = {each.name: each for each in (BEARING, FEATURES)}


def world(name: str) -> World:
    """The world of that name; ConfigError names the nearest valid one."""
    if name not in WORLDS:
        raise ConfigError(f"simulator: no world {name!r}; {nearest(name, WORLDS)}")
    return WORLDS[name]
