"""Rounds and versions by the names that a person gives them."""

from difflib import get_close_matches

from iot_stream.config.cohorts import ALL
from iot_stream.errors import ConfigError
from iot_stream.store import Store
from iot_stream.store.registry import Round, Version

LATEST = "latest"


def find(rounds: list[Round], wanted: str, name: str) -> Round:
    """By id, by number, or the latest that explains itself, or has at least ended; raises ConfigError that
    names the nearest."""
    ended = [each for each in rounds if each.ended is not None]
    if not ended:
        raise ConfigError(f"{name} has had no round yet; `iot-stream serve` runs them")
    if wanted == LATEST:
        return next((each for each in reversed(ended) if "why" in each.report), ended[-1])
    by_id = {each.id: each for each in rounds}
    numbered = [
        each for each in rounds if wanted.isdigit() and each.id.rsplit("-", 1)[-1] == f"{int(wanted):04d}"
    ]
    if found := by_id.get(wanted) or (numbered[-1] if numbered else None):
        return found
    near = get_close_matches(wanted, by_id, 1) or [ended[-1].id]
    raise ConfigError(
        f"{name} has no round {wanted!r}; is {near[0]} meant? `iot-stream rounds list` shows them"
    )


def reason(each: Round) -> str:
    """Why it came to its outcome."""
    return str(each.report.get("gate", {}).get("reason") or each.report.get("error", ""))


def unexplained(each: Round) -> str:
    """Why a round does not say why."""
    if each.trigger == "bootstrap":
        return "it made the first student, and there was none before it to compare with"
    if each.ended is None:
        return "it has not ended yet; ask again in a moment"
    if each.outcome in ("failed", "interrupted"):
        return (
            f"it {'was interrupted' if each.outcome == 'interrupted' else 'failed'}. {reason(each)}".strip()
        )
    return "it ran under an older version of iot-stream, that did not explain itself"


def version(store: Store, name: str, cohort: str, number: int | None) -> Version:
    """Of this number, or the newest; raises ConfigError."""
    known = store.registry.versions(name, cohort)
    found = next((each for each in reversed(known) if number in (None, each.version)), None)
    if found is None:
        of = name if cohort == ALL else f"cohort {cohort} of {name}"
        which = "version yet" if number is None else f"version {number}"
        raise ConfigError(f"{of} has no {which}; `iot-stream models list` shows what there is")
    return found
