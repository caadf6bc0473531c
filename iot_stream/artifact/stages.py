"""Which devices a release is meant for: a signed share of the fleet, and devices named one by one.

A device decides by itself, from its name and the version alone, so that nobody has to keep lists: it belongs
to a stage of p percent when the first four bytes of SHA-256(name ‖ version) are below p % of 2³². Who is in a
stage is in every later one of that version; another version takes others first.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from iot_stream.errors import Refused

PERCENT, FIRST, NEVER = "percent", "first", "never"
ALL = 100.0


@dataclass(frozen=True)
class Audience:
    """`percent` of the devices, and in any case those of `first` unless it is 0; those of `never` only at
    100."""

    percent: float = ALL
    first: tuple[str, ...] = ()
    never: tuple[str, ...] = ()

    def has(self, device: str, version: int) -> bool:
        if self.percent <= 0 or self.percent >= ALL:
            return self.percent > 0
        if device in self.never:
            return False
        return device in self.first or share(device, version) * ALL < self.percent

    def signed_fields(self) -> dict[str, str]:
        """As custom fields of the weights; nothing for everybody. Lists of names are JSON."""
        if self.percent >= ALL:
            return {}
        lists = {FIRST: self.first, NEVER: self.never}
        return {PERCENT: f"{self.percent:g}"} | {
            key: msgspec.json.encode(names).decode() for key, names in lists.items() if names
        }

    @classmethod
    def read(cls, custom: Mapping[str, str]) -> "Audience":
        """Raises Refused ("malformed")."""
        try:
            percent = float(custom.get(PERCENT, ALL))
            first, never = (
                msgspec.json.decode(custom.get(key, "[]"), type=tuple[str, ...]) for key in (FIRST, NEVER)
            )
        except (ValueError, RecursionError) as error:
            raise Refused("malformed", f"whom the release is meant for: {error}") from error
        if not 0 <= percent <= ALL:
            raise Refused("malformed", f"the release is meant for {percent:g} percent of the devices")
        return cls(percent, first, never)


EVERYBODY = Audience()


def share(device: str, version: int) -> float:
    """Where the device stands in [0, 1) when this version is rolled out."""
    return int.from_bytes(hashlib.sha256(f"{device}{version}".encode()).digest()[:4], "big") / 2**32
