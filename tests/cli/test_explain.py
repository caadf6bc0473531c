"""`iot-stream explain` on a store as the distiller leaves it: which round is meant, and what is said."""

import json
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner, Result

from iot_stream.cli import main
from iot_stream.clock import SECOND
from iot_stream.store.registry import Round
from tests.evaluate.test_explained import SILENT, a_why
from tests.service.running import NAME, opened, write_config

BEGIN = 1_700_000_000 * SECOND


def a_round(number: int, outcome: str, trigger: str = "windows", **report: object) -> Round:
    begin = BEGIN + number * 60 * SECOND
    end = None if outcome == "running" else begin + SECOND
    return Round(f"{NAME}-all-{number:04d}", NAME, "all", trigger, begin, end, begin, outcome, dict(report))


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """The first student; a round that explains itself, one held, one failed, an old one, one running."""
    path = write_config(tmp_path, "mqtt://localhost", "p")
    gate = {"reason": "+0.120 (at least +0.080) on 512 windows by teacher"}
    explained = {"why": msgspec.to_builtins(a_why("ä")), "gate": gate, "version": 2, "excluded": 5}
    held = {"why": msgspec.to_builtins(SILENT), "gate": {"reason": "7 windows to judge by, 10 are needed"}}
    rounds = [
        a_round(0, "released", "bootstrap", gate={"reason": "first version"}),
        a_round(1, "released", **explained),
        a_round(2, "failed", error="the loss became nan"),
        a_round(3, "rejected", gate=gate),
        a_round(4, "held", **held),
        a_round(5, "running"),
    ]
    with opened(path) as (_, store), store.write() as tx:
        for each in rounds:
            store.registry.save_round(tx, each)
    return path


def explain(config: Path, *arguments: str, code: int = 0) -> Result:
    result = CliRunner().invoke(main, ["--quiet", "explain", *arguments, "--config", str(config)])
    assert result.exit_code == code, result.output
    return result


def test_alone_it_explains_the_newest_round_that_has_an_explanation(config: Path) -> None:
    with opened(config) as (_, store), store.write() as tx:
        store.registry.save_round(tx, a_round(6, "failed", error="the loss became nan"))
    said = explain(config).output
    assert said.startswith(f"{NAME}-all-0004, ")
    assert "was not released (held: 7 windows to judge by, 10 are needed)" in said
    assert "Too few windows." in said


@pytest.mark.parametrize("name", [f"{NAME}-all-0001", "1", "0001"])
def test_a_round_is_found_by_id_and_by_number(config: Path, name: str) -> None:
    said = explain(config, name).output
    assert "released as version 2: +0.120 (at least +0.080) on 512 windows by teacher." in said
    for title in ("What drives the decision", "Which classes moved", "What drifted", "What was learnt from"):
        assert f"\n{title}\n" in said
    assert "co2 ä    31 % →   62 %  ████████████████████████  ä" in said
    assert "5 windows were left out, for a person excluded them." in said


def test_an_unknown_round_names_the_nearest_and_how_to_list(config: Path) -> None:
    said = explain(config, f"{NAME}-all-001", code=2).stderr
    assert f"is {NAME}-all-0001 meant? `iot-stream rounds list` shows them" in said
    assert f"no round '99'; is {NAME}-all-0004 meant?" in explain(config, "99", code=2).stderr


def test_the_list_of_rounds_says_what_each_came_to(config: Path) -> None:
    lines = CliRunner().invoke(main, ["rounds", "list", "--config", str(config)]).stdout.splitlines()[1:]
    assert [line.split()[0] for line in lines] == [f"{NAME}-all-{n:04d}" for n in range(6)]
    assert lines[2].endswith("failed: the loss became nan")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("0", "it made the first student, and there was none before it to compare with"),
        ("2", "it failed. the loss became nan"),
        ("3", "an older version of iot-stream"),
        ("5", "it has not ended yet"),
    ],
)
def test_where_there_is_nothing_to_explain_it_says_why(config: Path, name: str, reason: str) -> None:
    assert reason in explain(config, name, code=5).stderr


def test_without_a_round_it_says_what_runs_them(tmp_path: Path) -> None:
    path = write_config(tmp_path, "mqtt://localhost", "p")
    assert "`iot-stream serve` runs them" in explain(path, code=2).stderr


def test_json_is_the_report_as_it_is(config: Path) -> None:
    found = json.loads(explain(config, "1", "--json").output)
    assert (found["round"], found["outcome"], found["version"]) == (f"{NAME}-all-0001", "released", 2)
    assert found["why"] == json.loads(msgspec.json.encode(a_why("ä")))
    assert json.loads(explain(config, "0", "--json").output)["why"] is None


def test_the_page_needs_nothing_beside_it(config: Path, tmp_path: Path) -> None:
    target = tmp_path / "pages" / "why.html"
    assert explain(config, "1", "--html", str(target)).output.strip() == str(target)
    page = target.read_text()
    assert f"Why {NAME}-all-0001 changed the student" in page
    assert "What drives the decision" in page
    assert "src=" not in page
    assert "5 windows were left out" in page
