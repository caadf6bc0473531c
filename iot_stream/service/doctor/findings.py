"""What a check says: how it is, what was found, and what to do about it."""

from typing import Literal

import msgspec


class Finding(msgspec.Struct, frozen=True, omit_defaults=True):
    name: str
    state: Literal["ok", "warn", "fail"]
    found: str
    remedy: str = ""


def ok(name: str, found: str) -> Finding:
    return Finding(name, "ok", found)


def warn(name: str, found: str, remedy: str) -> Finding:
    return Finding(name, "warn", found, remedy)


def failed(name: str, found: str, remedy: str) -> Finding:
    return Finding(name, "fail", found, remedy)
