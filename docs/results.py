"""`docs/results.md` from the JSON of replays in `docs/results/`: no figure on that page is written by hand.

`make results` runs the replays and then `python docs/generate.py`, which calls this.
"""

import json
from collections.abc import Callable
from math import inf
from pathlib import Path
from typing import Any, NamedTuple

from iot_stream.evaluate.peers import told as peers

FOLDER = Path(__file__).parent / "results"
RIVALS = ("student", "static", "static_all", "labels_only", "control", "persistence", "teacher")
MEASURES = peers.MEASURES

Result = dict[str, Any]


class Claim(NamedTuple):
    """Something that a result must show: `figure` of it, or of it and another, at least `least`."""

    result: str
    text: str
    figure: Callable[..., float]
    least: float
    beside: str = ""


def overall(measure: str, *rivals: str) -> Callable[[Result], float]:
    """A rival's mean over the stream, or how far the first is above the second."""

    def figure(result: Result) -> float:
        means = [result["overall"][measure][rival]["mean"] for rival in rivals]
        return float(means[0] - means[1]) if len(means) == 2 else float(means[0])

    return figure


def tail_at(segment: str, *rivals: str) -> Callable[[Result], float]:
    """How far the first rival's tail of a segment is above the second's."""

    def figure(result: Result) -> float:
        (found,) = [each for each in result["segments"] if each["name"] == segment]
        return float(found["tail"][rivals[0]]["mean"] - found["tail"][rivals[1]]["mean"])

    return figure


def recovered_at(segment: str) -> Callable[[Result], float]:
    """Share of the gap between static and teacher that the student closes, in the tail of a segment."""

    def figure(result: Result) -> float:
        return tail_at(segment, "student", "static")(result) / tail_at(segment, "teacher", "static")(result)

    return figure


def smaller(result: Result) -> float:
    """How many times the teacher has the student's parameters."""
    return float(result["teacher"]["parameters"] / result["student"]["parameters"])


def above_peers(result: Result) -> float:
    """How far the student is above the best of the peers; −∞ where none ran."""
    means = {name: found["mean"] for name, found in result["overall"]["accuracy"].items()}
    rivals = [means[peer] for peer in result.get("peers", ()) if peer in means]
    return float(means["student"] - max(rivals, default=inf))


def saved(result: Result) -> float:
    """Share of the bytes that did not go up."""
    return float(1 - result["bytes_up"] / result["bytes_read"])


def above(result: Result, other: Result) -> float:
    """How far the student is above that of another result."""
    return overall("accuracy", "student")(result) - overall("accuracy", "student")(other)


CLAIMS = (
    Claim("occupancy.config", "student, accuracy", overall("accuracy", "student"), 0.87),
    Claim("occupancy.config", "student, balanced accuracy", overall("balanced", "student"), 0.83),
    Claim("occupancy.config", "above static", overall("accuracy", "student", "static"), 0.07),
    Claim("occupancy.config", "above static, balanced", overall("balanced", "student", "static"), 0.07),
    Claim("occupancy.config", "above persistence", overall("accuracy", "student", "persistence"), 0),
    Claim(
        "occupancy.config", "above persistence, balanced", overall("balanced", "student", "persistence"), 0
    ),
    Claim("occupancy.config", "no labels: above control", overall("accuracy", "student", "control"), 0.03),
    Claim("occupancy.upload", "bytes saved", saved, 0.6),
    Claim("occupancy.upload", "above occupancy.config, which sends all", above, -0.005, "occupancy.config"),
    Claim("bearing_cwru.upload", "bytes saved", saved, 0.6),
    Claim(
        "bearing_cwru.upload",
        "above student_2000, which sends all",
        above,
        -0.005,
        "bearing_cwru.student_2000",
    ),
    Claim("occupancy.other_split", "no harm: above static", overall("accuracy", "student", "static"), -0.01),
    Claim("bearing.steady", "no harm: above static", overall("accuracy", "student", "static"), -0.01),
    Claim("bearing_cwru.student_2000", "load 3: tail above static", tail_at("3", "student", "static"), 0.20),
    Claim(
        "bearing_cwru.student_2000", "load 3: tail above teacher", tail_at("3", "student", "teacher"), -0.03
    ),
    Claim("bearing_cwru.student_2000", "load 3: share of the gap closed", recovered_at("3"), 0.97),
    Claim(
        "bearing_cwru.student_2000", "tail above static-all", overall("tail", "student", "static_all"), -0.01
    ),
    Claim("bearing_cwru.student_300", "load 3: share of the gap closed", recovered_at("3"), 0.95),
    Claim(
        "bearing_cwru.student_300", "tail above static-all", overall("tail", "student", "static_all"), 0.03
    ),
    Claim(
        "bearing_cwru.student_300",
        "no labels: above control",
        overall("accuracy", "student", "control"),
        0.03,
    ),
    Claim("gas_drift.ensemble", "student, accuracy", overall("accuracy", "student"), 0.94),
    *(
        claim
        for name, least in (("labels_10", 0.955), ("labels_all", 0.98), ("batch_late", 0.93))
        for claim in (
            Claim(f"gas_drift.{name}", "student, accuracy", overall("accuracy", "student"), least),
            Claim(f"gas_drift.{name}", "above labels-only", overall("accuracy", "student", "labels_only"), 0),
            Claim(f"gas_drift.{name}", "above the best peer", above_peers, 0),
        )
    ),
    Claim("founding_article.config", "above teacher", overall("accuracy", "student", "teacher"), -0.02),
    Claim("founding_article.config", "times fewer parameters than its teacher", smaller, 4),
)

INTRO = """\
# Results

Generated by `make results` from the reports of `iot-stream replay`; the JSON of each is in
`docs/results`, without the sentences on each round. What the rivals are and how they are scored:
[replay](replay.md).

Hyper-parameters were chosen by trials on bootstrap data, which split the bootstrap itself; each example's
README says which. Whoever made the examples knew the streams' figures of earlier configurations all the same.
In gas_drift it is otherwise: the `drift` teacher was shaped on that very recording, so that labels_10,
labels_all and batch_late tell what is reachable there, no unbiased estimate. gas_drift.ensemble is the honest
one: settings by trials on the bootstrap; that it is an ensemble at all came from the stream. The READMEs say
how far each went.

Seconds, and ratios of seconds, are of a machine that had other work at the time, but for occupancy: read them
as orders of magnitude. All else does not depend on the machine's mood.
"""


def page() -> str:
    """The whole page."""
    results = {path.stem: _figures(path) for path in sorted(FOLDER.glob("*.json"))}
    sections = (_section(name, each) for name, each in results.items())
    return "\n".join([INTRO, _claims(results), _stages(results), *sections])


def _figures(path: Path) -> Result:
    """Of a replay; sentences on each round, which are most of a file, are left to its report."""
    result: Result = json.loads(path.read_text())
    rounds = [each for seed in result["seeds"] for each in seed["rounds"]]
    if any("why" in each for each in rounds):
        for each in rounds:
            each.pop("why", None)
        path.write_text(json.dumps(result, indent=1) + "\n")
    return result


def _claims(results: dict[str, Result]) -> str:
    lines = ["## What must be seen\n", "| result | what | figure | at least | |", "|---|---|---|---|---|"]
    for claim in (each for each in CLAIMS if each.result in results):
        figure = claim.figure(*(results[name] for name in (claim.result, claim.beside) if name))
        holds = "holds" if figure >= claim.least else "**missed**" if figure > -inf else "not run yet"
        lines.append(
            f"| [{claim.result}](#{_anchor(claim.result)}) | {claim.text} | {_number(figure)} | "
            f"{claim.least:g} | {holds} |"
        )
    return "\n".join(lines) + "\n"


STAGES = ("training", "first_distillation", "distillation", "fusion")


def _stages(results: dict[str, Result]) -> str:
    lines = [
        "## What each stage gained\n",
        "Accuracy. Training (of the teacher) and the first distillation, against naming the commonest class:",
        "over the stream. A round's distillation and its fusion, against the student before: over what the",
        "gates judged by.\n",
        "| result | training | first distillation | distillation | fusion |",
        "|---|---|---|---|---|",
    ]
    for name, result in results.items():
        gains = [_gain(result["stages"][stage]) for stage in STAGES]
        lines.append(f"| {name} | {' | '.join(gains)} |")
    return "\n".join(lines) + "\n"


def _gain(stage: dict[str, float | None]) -> str:
    before, after = stage["before"], stage["after"]
    return "–" if before is None or after is None else f"{after - before:+.3f}"


def _anchor(name: str) -> str:
    return name.replace(".", "")


def _number(value: float) -> str:
    if value == -inf:
        return "–"
    return f"{value:.3f}" if abs(value) < 2 else f"{value:.1f}"


def _section(name: str, result: Result) -> str:
    student, machine = result["student"], result["machine"]
    return "\n".join(
        [
            f"## {name}\n",
            f"`{result['command']}`\n",
            f"{result['overall']['windows']:,} windows, {len(result['seeds'])} seeds; student of "
            f"{student['parameters']:,} parameters ({student['update_bytes']:,} bytes encoded, "
            f"{student['bundle_bytes']:,} in the message that carries it), teacher of "
            f"{result['teacher']['parameters']:,}; {result['rounds']} rounds, {result['released']} released; "
            f"{result['bytes_up']:,} bytes up, {result['bytes_down_per_device']:,} down to each device; "
            f"{result['seconds']:,.0f} s on {machine['cpu']}, {machine['threads']} of {machine['cores']} "
            f"cores (Python {machine['python']}, torch {machine['torch']}).\n",
            _overall(result),
            *([_peers(result)] if "peers" in result else []),
            _segments(result) if len(result["segments"]) > 1 else "",
            _costs(result),
        ]
    )


def _overall(result: Result) -> str:
    lines = [f"| | {' | '.join(MEASURES.values())} |", "|---" * (len(MEASURES) + 1) + "|"]
    for rival in RIVALS:
        cells = (peers.interval(result["overall"][measure][rival]) for measure in MEASURES)
        lines.append(f"| {rival.replace('_', '-')} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _peers(result: Result) -> str:
    lines = [f"| {' | '.join(peers.HEAD)} |", "|---" * len(peers.HEAD) + "|"]
    lines += [f"| {' | '.join(row)} |" for row in peers.rows(result)]
    return "\n".join([*lines, "", peers.note(result)]) + "\n"


def _segments(result: Result) -> str:
    names = [rival.replace("_", "-") for rival in RIVALS]
    lines = [f"| segment, tail | windows | {' | '.join(names)} |", "|---" * (len(names) + 2) + "|"]
    for segment in result["segments"]:
        cells = (peers.interval(segment["tail"][rival]) for rival in RIVALS)
        lines.append(f"| {segment['name']} | {segment['windows']:,} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _costs(result: Result) -> str:
    lines = ["| saved | teacher | student | times less |", "|---|---|---|---|"]
    for row in result["costs"]:
        less = row["teacher"] / row["student"]
        what = f"{row['what']} ({row['unit']})" if row["unit"] else row["what"]
        lines.append(f"| {what} | {row['teacher']:,.6g} | {row['student']:,.6g} | {less:,.3g} |")
    return "\n".join(lines) + "\n"
