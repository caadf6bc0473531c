"""What holds for one engine holds for the other: `store` is each of them in turn."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from iot_stream.store import Store
from tests.postgres import Server


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path | str]:
    """Where a new store may be."""
    if request.param == "sqlite":
        yield tmp_path / "store"
    else:
        server: Server = request.getfixturevalue("postgres_server")
        with server.database() as url:
            yield url


@contextmanager
def opened(place: Path | str) -> Iterator[Store]:
    store = Store(place)
    yield store
    store.close()


@pytest.fixture
def store(place: Path | str) -> Iterator[Store]:
    with opened(place) as store:
        yield store
