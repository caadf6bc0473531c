"""The quick start, played: a script that publishes JSON, a student that follows a changed world."""

import json
import shutil
from pathlib import Path

import pytest

from iot_stream.service.broker import start
from tests.docs.pages import ROOT, blocks
from tests.docs.terminal import at_broker, terminals
from tests.waiting import wait_until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not shutil.which("mosquitto_sub"), reason="apt-get install mosquitto mosquitto-clients"
    ),
]

SOME = 24  # predictions, six seconds of them
PAGE = ROOT / "docs" / "quickstart.md"


def rightly(said: str) -> list[bool]:
    """Of each prediction whether it was so: `sensor.py` is worn every other two seconds."""
    told = [json.loads(line) for line in said.splitlines() if line.endswith("}")]
    return [(each["class"] == "worn") == bool(each["time"] // (2 * 10**9) % 2) for each in told]


def shares(right: list[bool]) -> list[float]:
    return [sum(right[end - SOME : end]) / SOME for end in range(SOME, len(right))]


def test_the_quick_start_is_as_it_says(tmp_path: Path) -> None:
    install, *steps = blocks(PAGE)
    assert ".venv/bin/activate" in install.text  # the tests' own Python has been chosen already
    louder = next(number for number, block in enumerate(steps) if "^C" in block.text)
    with start(tmp_path / "broker") as broker, terminals(tmp_path, at_broker(broker.url)) as played:
        played.play(steps[:louder])
        wait_until(lambda: shares(rightly(played.shown("mosquitto_sub")))[-1:] > [0.85], "it has learnt", 120)
        before = len(rightly(played.shown("mosquitto_sub")))
        played.play([steps[louder]])

        def after() -> list[float]:
            return shares(rightly(played.shown("mosquitto_sub"))[before:])

        wait_until(lambda: after()[-1:] > [0.85] and min(after()) < 0.7, "it has learnt the louder pump", 150)
        played.play(steps[louder + 1 :])
