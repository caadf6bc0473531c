"""Which formats can be tried here: some need a library of the extra `formats`."""

from importlib.util import find_spec

NEEDED = {"CBOR": "cbor2", "Sparkplug B": "google.protobuf", "frame (a picture)": "PIL"}


def can_read(what: str) -> bool:
    try:
        return find_spec(NEEDED[what]) is not None
    except ImportError:  # of the package around it
        return False


def untried() -> list[str]:
    return [what for what in NEEDED if not can_read(what)]
