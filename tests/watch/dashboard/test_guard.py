"""Who is let in, and who may change something; what is refused leaves nothing behind."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from iot_stream.store import Store
from iot_stream.watch.dashboard.guard import TOKEN
from tests.service.running import NAME
from tests.watch.dashboard.serving import ask, served
from tests.watch.stores import configured

ACTION = b'{"pipeline": "tiny"}'


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "store")
    yield store
    store.close()


def act(url: str, **headers: str) -> tuple[int, str]:
    status, found = ask(f"{url}/api/actions/distil", "POST", ACTION, **headers)
    return status, found.get("error", "")


def commands(store: Store) -> int:
    return int(store.one("SELECT count(*) FROM commands"))


def test_a_name_that_is_not_ours_sees_nothing(tmp_path: Path, store: Store) -> None:
    with served(configured(tmp_path), store, token="t", names=("page.example",)) as url:
        port = url.rpartition(":")[2]
        for host in ("localhost", socket.gethostname(), "page.example", "PAGE.example", "192.0.2.7", "[::1]"):
            assert ask(f"{url}/api/about", Host=f"{host}:{port}")[0] == 200, host
        for host in ("evil.example", "localhost.evil.example", "page.example.evil", "", "[", "1.2.3.4.evil"):
            status, found = ask(f"{url}/api/{NAME}/promise", Host=host)
            assert status == 421, host
            assert "dashboard.names" in found["error"]


def test_nothing_is_changed_without_the_token(tmp_path: Path, store: Store) -> None:
    with served(configured(tmp_path), store, token="secret") as url:
        for headers in ({}, {TOKEN: ""}, {TOKEN: "wrong"}, {TOKEN: "secret "[:-2]}, {TOKEN: "sécret"}):
            status, why = act(url, **headers)
            assert status == 401, headers
            assert "printed" in why
        assert commands(store) == 0


def test_a_page_of_elsewhere_changes_nothing_though_it_knew_the_token(tmp_path: Path, store: Store) -> None:
    with served(configured(tmp_path), store, token="secret") as url:
        for origin in ("http://evil.example", "null", url.replace("http", "http://x@evil.example/?")):
            status, why = act(url, **{TOKEN: "secret", "Origin": origin})
            assert status == 403
            assert "may not change anything" in why
        assert commands(store) == 0


def test_read_only_means_that_nothing_can_be_changed(tmp_path: Path, store: Store) -> None:
    with served(configured(tmp_path), store, token="secret", read_only=True) as url:
        assert ask(f"{url}/api/about")[1]["read_only"] is True
        status, why = act(url, **{TOKEN: "secret"})
        assert status == 403
        assert "--read-only" in why
        assert commands(store) == 0


def test_the_one_who_shows_the_token_is_heard(tmp_path: Path, store: Store) -> None:
    with served(configured(tmp_path), store, token="secret") as url:
        status, why = act(url, **{TOKEN: "secret", "Origin": url})
        assert status in (200, 409, 400), why  # what came of it is the action's matter
