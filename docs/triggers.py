"""The table of `docs/triggers.md` from the JSON of replays: rounds by a fixed trigger beside rounds where the
world changes. No figure of it is written by hand; `python docs/generate.py` calls this.
"""

import json
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any

HERE = Path(__file__).parent
BEGIN, END = "<!-- generated: triggers -->", "<!-- end -->"

# What is compared: name, the replay with a fixed trigger, the one that watches, and whether the beginnings of
# its segments are moments at which the world changed.
PAIRS = (
    ("CWRU, four loads", "results/bearing_cwru.student_2000.json", "triggers/bearing_cwru.drift.json", True),
    ("simulated, two drifts", "triggers/simulated_fixed.json", "triggers/simulated.json", True),
    ("gas, six batches", "results/gas_drift.ensemble.json", "triggers/gas_drift.drift.json", True),
    ("occupancy, eight days", "results/occupancy.config.json", "triggers/occupancy.drift.json", False),
)

Result = dict[str, Any]


def filled(text: str) -> str:
    """`docs/triggers.md` with its table as it should be."""
    before, rest = text.split(BEGIN)
    return before + BEGIN + "\n" + table() + "\n" + END + rest.split(END)[1]


def table() -> str:
    lines = [
        "| stream | seeds | rounds: fixed → watched | fewer | accuracy: fixed → watched | difference "
        "| changes found | delay | other alarms |",
        "|---" * 9 + "|",
    ]
    for name, fixed, watched, changes in PAIRS:
        if (HERE / watched).exists():
            lines.append(_row(name, _read(fixed), _read(watched), changes))
    return "\n".join(lines)


def _read(place: str) -> Result:
    found: Result = json.loads((HERE / place).read_text())
    return found


def _row(name: str, fixed: Result, watched: Result, changes: bool) -> str:
    """Over the seeds that both have."""
    pairs = [
        (before, after)
        for before in fixed["seeds"]
        for after in watched["seeds"]
        if before["seed"] == after["seed"]
    ]
    rounds = [_mean([len(pair[side]["rounds"]) for pair in pairs]) for side in (0, 1)]
    accuracy = [_mean([_accuracy(pair[side]) for pair in pairs]) for side in (0, 1)]
    cells = [
        name,
        str(len(pairs)),
        f"{rounds[0]:.0f} → {rounds[1]:.1f}",
        f"{1 - rounds[1] / rounds[0]:.0%}",
        f"{accuracy[0]:.4f} → {accuracy[1]:.4f}",
        f"{accuracy[1] - accuracy[0]:+.4f}",
        *_found([after for _, after in pairs], watched["segments"], changes),
    ]
    return "| " + " | ".join(cells) + " |"


def _accuracy(seed: Result) -> float:
    return float(seed["overall"]["accuracy"]["student"])


def _found(seeds: list[Result], segments: list[Result], changes: bool) -> list[str]:
    """How many changes raised an alarm, its median delay, and how many alarms were raised beside, a seed."""
    begins = [_seconds(segment["begins"]) for segment in segments]
    delays: list[float] = []
    alarms = 0
    for seed in seeds:
        own = [_seconds(row["now"]) for row in seed["rounds"] if " rose from " in row["trigger"]]
        alarms += len(own)
        for change, until in zip(begins[1:], [*begins[2:], float("inf")], strict=True):
            first = next((now for now in own if change <= now < until), None)
            if first is not None:
                delays.append(first - change)
    if not changes:
        return ["–", "–", f"{alarms / len(seeds):.1f} in all"]
    middle = median(delays) if delays else None
    return [
        f"{len(delays)} of {len(seeds) * (len(begins) - 1)}",
        "–" if middle is None else f"{middle:.0f} s",
        f"{(alarms - len(delays)) / len(seeds):.1f}",
    ]


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def _mean(values: list[float] | list[int]) -> float:
    return sum(values) / len(values)
