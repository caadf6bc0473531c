"""A site of one's own on the shared broker."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from iot_stream.release.keys import Keys
from iot_stream.service.broker import Broker
from tests.device.fleet import Fleet
from tests.device.site import Site


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return Keys.create(tmp_path_factory.mktemp("ours") / "keys", root_keys=1, root_threshold=1)


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return Keys.create(tmp_path_factory.mktemp("theirs") / "keys", root_keys=1, root_threshold=1)


@pytest.fixture
def site(broker: Broker, prefix: str, keys: Keys, tmp_path: Path) -> Iterator[Site]:
    opened = Site(broker, prefix, keys, tmp_path)
    yield opened
    opened.close()


@pytest.fixture
def fleet(keys: Keys, tmp_path: Path) -> Iterator[Fleet]:
    """The device runs version 2, has 1 in reserve, and in the end still takes the next release."""
    fleet = Fleet(keys, tmp_path / "state")
    fleet.apply(fleet.publish(1))
    fleet.apply(fleet.publish(2))
    yield fleet
    following = max(fleet.repository.version, 100) + 1
    assert fleet.apply(fleet.publish(following)) is not None
    assert fleet.runs() == following
