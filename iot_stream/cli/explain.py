"""Why a round changed the student: in the terminal, as a page, as JSON."""

import json
import textwrap
from pathlib import Path

import click

from iot_stream.api import history
from iot_stream.cli.common import config_option, opened, pick, pipeline_option
from iot_stream.clock import iso
from iot_stream.distill.explain import words
from iot_stream.distill.explain.why import Why, of_report
from iot_stream.errors import ModelError
from iot_stream.evaluate import explain_page
from iot_stream.evaluate.explained import TITLES, Explained
from iot_stream.store.registry import Round

WIDTH = 96
BAR = 24


@click.command()
@click.argument("round_id", metavar="[ROUND]", default=history.LATEST)
@config_option
@pipeline_option
@click.option("--html", "target", type=click.Path(path_type=Path), help="Write a page to this file instead.")
@click.option("--json", "as_json", is_flag=True, help="The numbers, as the round's report has them.")
def explain(round_id: str, path: Path, pipeline: str | None, target: Path | None, as_json: bool) -> None:
    """Why ROUND changed the student, in words: what drives its decision, which windows changed class, where
    teacher and student disagree, what drifted, and what was learnt from.

    ROUND is an id as `iot-stream rounds list` shows it, or its number; left out, the newest that has an
    explanation.
    """
    config, store = opened(path)
    name, _ = pick(config, pipeline)
    found = history.find(store.registry.rounds(name), round_id, name)
    if as_json:
        click.echo(
            json.dumps(
                {
                    "round": found.id,
                    "trigger": found.trigger,
                    "outcome": found.outcome,
                    "reason": history.reason(found),
                }
                | {key: found.report.get(key) for key in ("version", "running", "excluded", "why")},
                indent=1,
            )
        )
        return
    why = of_report(found.report)
    if why is None:
        raise ModelError(f"{found.id} has no explanation: {history.unexplained(found)}")
    excluded = found.report.get("excluded", 0)
    if target:
        facts = {"round": found.id, "started": iso(found.started), "trigger": found.trigger}
        title = f"Why {found.id} changed the student"
        explain_page.write(
            target, title, Explained(found.id, found.outcome, why, excluded), _verdict(found), facts
        )
        click.echo(target)
        return
    click.echo(f"{found.id}, {iso(found.started)[:19].replace('T', ' ')} UTC, started by: {found.trigger}")
    _wrapped(_verdict(found))
    for part, title in TITLES.items():
        click.echo(f"\n{title}")
        for sentence in why.words.get(part, []):
            _wrapped(sentence)
        if part == "learnt" and excluded:
            _wrapped(words.excluded(excluded))
        if part == "decision":
            _bars(why)


def _verdict(each: Round) -> str:
    """What the round came to, in a sentence."""
    reason = history.reason(each)
    if each.outcome == "released":
        return f"The new student was released as version {each.report.get('version')}: {reason}."
    return (
        f"The new student was not released ({each.outcome}: {reason}). What follows says what would have "
        "changed."
    )


def _wrapped(sentence: str) -> None:
    click.echo(textwrap.fill(sentence, WIDTH, initial_indent="  ", subsequent_indent="  "))


def _bars(why: Why) -> None:
    """Each input's share of the decision, before and after."""
    if why.decision is None:
        return
    inputs = sorted(why.decision.channels.items(), key=lambda item: -item[1][1])
    width = max(len(name) for name, _ in inputs)
    click.echo()
    for name, (was, now) in inputs:
        bar = "█" * round(BAR * now / max(inputs[0][1][1], 1e-9))
        meaning = why.decision.meanings.get(name, "")
        shares = f"{words.percent(was):>6} → {words.percent(now):>6}"
        click.echo(f"  {name:{width}}  {shares}  {bar:{BAR}}  {meaning}".rstrip())
