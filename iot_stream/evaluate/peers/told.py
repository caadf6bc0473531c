"""The peers of a replay's JSON as a table, for the report and for the project's page of results."""

from collections.abc import Mapping
from typing import Any

from iot_stream.evaluate.report import RIVALS

MEASURES = {"accuracy": "accuracy", "balanced": "balanced", "tail": "tail", "tail_balanced": "tail, balanced"}
HEAD = ("", *MEASURES.values(), "size", "settings", "CPU seconds")


def ran(result: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    return {name: each for name, each in result.get("peers", {}).items() if "not_run" not in each}


def rows(result: Mapping[str, Any]) -> list[list[str]]:
    """The student and all peers, the best first; then those that could not run, with the reason."""
    ours = {"parameters": result["student"]["parameters"], "settings": {}, "cpu_seconds": None}
    shown = {"student": ours} | ran(result)
    accuracy = result["overall"]["accuracy"]
    lines = []
    for name in sorted(shown, key=lambda name: -(accuracy[name]["mean"] or 0)):
        each = shown[name]
        figures = [interval(result["overall"][measure][name]) for measure in MEASURES]
        settings = ", ".join(f"{key} {value}" for key, value in each["settings"].items())
        seconds = "" if each["cpu_seconds"] is None else f"{each['cpu_seconds']:,.0f}"
        lines.append([RIVALS[name][0], *figures, _size(each), settings, seconds])
    gone = {name: each for name, each in result["peers"].items() if name not in shown}
    nothing = ["–"] * len(MEASURES)
    return lines + [
        [RIVALS[name][0], *nothing, "", f"not run: {each['not_run']}", ""] for name, each in gone.items()
    ]


def note(result: Mapping[str, Any]) -> str:
    by_teacher = any(each["learns_from"] == "teacher" for each in ran(result).values())
    source = "the teacher's word, for no label ever comes" if by_teacher else "the late labels"
    return (
        f"Peers see what the student sees and learn from {source}. Their settings were chosen on the "
        "bootstrap alone; sizes and settings are those of the first seed, seconds are for a seed."
    )


def interval(value: Mapping[str, Any]) -> str:
    """A mean over seeds, with half its 95 % interval where there is one."""
    if value["mean"] is None:
        return "–"
    spread = f" ± {(value['ci95'][1] - value['ci95'][0]) / 2:.3f}" if value["ci95"] else ""
    return f"{value['mean']:.3f}{spread}"


def _size(report: Mapping[str, Any]) -> str:
    return next((f"{report[unit]:,} {unit}" for unit in ("parameters", "bytes") if unit in report), "–")
