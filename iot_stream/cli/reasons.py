"""What the counters of `windows stats` mean, and what to do about them."""

_LOOK = "refused: `iot-stream quarantine list` says what was wrong with each"
_GONE = "refused; the messages are no longer in quarantine"
MEANINGS = {
    "duplicate": "readings that came again under the same number or time, kept once; if nearly all do, "
    "the device counts anew without a new boot id, or its times are coarser than its rate (leave out `time`)",
    "lost": "numbered readings or messages that never came: is the broker overloaded, the network bad?",
    "late": "readings that came when their window was cut: see `window.lateness`",
    "unusable": "readings not newer than the last, or without a channel that `window.required` names",
    "error_value": "values that `hygiene.error_values` names, taken as missing",
    "out_of_range": "values beyond `hygiene.limits`, taken as missing",
    "jump": "values too far from the one before, taken as missing: see `hygiene.limits`",
    "stuck": "values that stayed the same for too long, taken as missing: see `hygiene.limits`",
}


def meaning(reason: str, *, kept: bool = True) -> str:
    """`kept`: whether a message of this reason is in quarantine."""
    return MEANINGS.get(reason, _LOOK if kept else _GONE)
