"""What several rooms' tests share: a real broker, and a topic prefix of one's own on it."""

import os
import uuid
from collections.abc import Iterator

import hypothesis
import pytest

from iot_stream.service.broker import Broker, start
from tests import postgres

# Before torch is loaded, here and in the processes that tests start: on shared cores two threads of a
# small step wait for each other, ten times as long as the step takes.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# How long an example takes says more about the machine than about the code.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests come first: at the end, all would wait for whoever has got one."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """mosquitto where there is one, else the embedded broker. Tests keep apart by `prefix`."""
    with start(tmp_path_factory.mktemp("broker")) as running:
        yield running


@pytest.fixture
def prefix() -> str:
    """A topic prefix (and a base for client ids) that no other test uses."""
    return f"test-{uuid.uuid4().hex[:12]}"


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[postgres.Server]:
    with postgres.running() as server:
        if server is None:
            pytest.skip("no PostgreSQL server is installed: apt-get install postgresql")
        yield server
