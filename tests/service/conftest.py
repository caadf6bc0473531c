from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.service.by_hand import ByHand
from tests.service.running import opened, write_taught


@pytest.fixture
def service(tmp_path: Path) -> Iterator[ByHand]:
    path = write_taught(tmp_path, "mqtt://localhost", "p", clock="stream", trust={"drop": 0.25})
    with opened(path) as (config, store):
        yield ByHand(config, store)
