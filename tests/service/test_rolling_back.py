"""What can be rolled back to: what rounds can go on from."""

from pathlib import Path

import pytest

from iot_stream.config import load
from tests.service.by_hand import ByHand
from tests.service.running import NAME, write_config

pytestmark = pytest.mark.slow


def test_a_version_of_other_windows_is_refused(service: ByHand, tmp_path: Path) -> None:
    others = tmp_path / "others"
    others.mkdir()
    path = write_config(others, "mqtt://localhost", "p", clock="stream", window={"length": 6, "hop": 3})
    service.restart(load(path))
    outcome, why = service.obey("rollback", version=1)
    assert outcome == "failed"
    assert why.startswith("version 1 is of another form: the student's channels or windows are others now")
    assert "set that back in the configuration" in why
    outcome, said = service.obey("rollback", version=2)
    assert (outcome, said[:38]) == ("done", "version 3 carries the weights of versi")
    assert [each.version for each in service.store.registry.versions(NAME)] == [1, 2, 3]
