"""The dashboard over HTTP: the page, its views, its stream of changes, and how it says what is wrong."""

import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import pytest
from click.testing import CliRunner

from iot_stream.cli import main
from iot_stream.config import load
from iot_stream.errors import StoreError
from iot_stream.evaluate.bench.dashboard import page_bytes
from iot_stream.store import Store
from iot_stream.watch.dashboard import live
from iot_stream.watch.dashboard.server import FRESH_S, VIEWS
from tests.service.running import NAME, write_config
from tests.streams import START
from tests.watch.dashboard.serving import Stream, ask, served
from tests.watch.dashboard.windows import tell
from tests.watch.stores import configured, hear, join, release

STATIC = Path(str(files("iot_stream.watch"))) / "dashboard" / "static"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "store")
    yield store
    store.close()


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "PAUSE_S", 0.05)


def test_the_page_is_small_and_needs_nothing_from_elsewhere(tmp_path: Path, store: Store) -> None:
    with served(configured(tmp_path), store) as url:
        assert page_bytes(url) <= 200_000
    for path in STATIC.rglob("*"):
        if path.suffix in (".html", ".js", ".css"):
            found = re.findall(r"(?:https?:)?//[\w.]+\.\w+", path.read_text())
            assert [each for each in found if "w3.org" not in each] == [], path


def test_the_page_names_all_its_modules_and_holds_no_script_or_style_of_its_own() -> None:
    page = (STATIC / "index.html").read_text()
    modules = {str(path.relative_to(STATIC)) for path in STATIC.rglob("*.js")} - {"app.js"}
    assert set(re.findall(r'modulepreload" href="/static/([^"]+)"', page)) == modules
    assert len(modules) > 10
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\bstyle=|\bon\w+=", page)


def test_every_answer_is_sealed(tmp_path: Path, store: Store) -> None:
    import urllib.request

    with served(configured(tmp_path), store) as url:
        for path in ("/", "/static/app.js", "/api/about", f"/api/{NAME}/promise"):
            with urllib.request.urlopen(url + path, timeout=20) as answer:
                policy = answer.headers["Content-Security-Policy"]
                assert policy.startswith("default-src 'self'")
                assert "unsafe" not in policy
                assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_every_view_answers_for_an_empty_store(tmp_path: Path, store: Store) -> None:
    with served(configured(tmp_path), store) as url:
        for view in VIEWS:
            if view == "device":
                continue
            status, found = ask(f"{url}/api/{NAME}/{view}")
            assert status == 200, (view, found)
        assert ask(f"{url}/api/about")[1]["pipelines"] == [NAME]
    assert len(VIEWS) == 8


def test_what_is_asked_wrongly_is_told(tmp_path: Path, store: Store) -> None:
    with served(configured(tmp_path), store) as url:
        for path, status, words in (
            (f"/api/{NAME}/nothing", 404, "there is no nothing"),
            ("/api/elsewhere/promise", 404, "there is no promise of elsewhere"),
            ("/api/events?pipeline=elsewhere", 404, "there is no pipeline elsewhere"),
            (f"/api/{NAME}/promise?by=guess", 400, "neither labels nor teacher"),
            (f"/api/{NAME}/promise?from=a&to=1", 400, "is no number of seconds"),
            (f"/api/{NAME}/fleet?since=x", 400, "is no revision"),
            (f"/api/{NAME}/topics?after=-1", 400, "is no number of a line"),
        ):
            assert ask(url + path)[0] == status, path
            assert words in ask(url + path)[1]["error"]


def test_a_store_that_cannot_be_read_is_told_and_comes_back(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise StoreError("store s: disk I/O error")

    hear(store, "a")
    with served(configured(tmp_path), store) as url:
        with monkeypatch.context() as patch:
            patch.setattr(store.journal, "received", full)
            assert ask(f"{url}/api/{NAME}/fleet") == (503, {"error": "store s: disk I/O error"})
        status, found = ask(f"{url}/api/{NAME}/fleet")
        assert status == 200
        assert found["devices"] == 1


# --- what has changed


def test_a_change_names_the_views_that_show_it(tmp_path: Path, store: Store) -> None:
    config = configured(tmp_path)
    with served(config, store) as url:
        stream = Stream(url, NAME)
        assert stream.next()[1] is None  # who comes anew fetches all
        assert stream.next()[1] is None  # the first look
        release(store, 1)
        assert set(stream.next()[1] or ()) == {"models"}
        tell(store, config, "a", START, 1, student=1, static=0, teacher=1)
        assert {"promise", "fleet", "device"} <= set(stream.next()[1] or ())
        stream.close()


def test_a_configuration_that_has_changed_since_is_told(tmp_path: Path, store: Store) -> None:
    config, path = configured(tmp_path), tmp_path / "config.yml"
    was = path.read_text()
    with served(config, store, path=path) as url:
        stream = Stream(url, NAME)
        assert [stream.next()[1], stream.next()[1]] == [None, None]
        assert ask(f"{url}/api/{NAME}/notices") == (200, [])
        path.write_text(f"{was}# edited\n")
        assert stream.next()[1] == ["notices"]
        time.sleep(FRESH_S)
        (told,) = ask(f"{url}/api/{NAME}/notices")[1]
        assert told.startswith("config.yml has changed since this dashboard was started: restart it")
        path.write_text(was)
        assert stream.next()[1] == ["notices"]
        path.unlink()  # as some editors do for a moment
        time.sleep(FRESH_S)
        assert ask(f"{url}/api/{NAME}/notices") == (200, [])
        stream.close()


def test_who_comes_back_is_told_what_was_missed(tmp_path: Path, store: Store) -> None:
    with served(configured(tmp_path), store) as url:
        stays = Stream(url, NAME)
        assert [stays.next()[1], stays.next()[1]] == [None, None]
        leaves = Stream(url, NAME)
        last, _ = leaves.next()
        leaves.close()
        join(store, "a", 1)
        seen = set(stays.next()[1] or ())
        again = Stream(url, NAME, last)
        assert again.next()[1] == sorted(seen)
        assert Stream(url, NAME, "another-life-3").next()[1] is None
        assert {"fleet", "device"} <= seen
        stays.close()


def test_it_ends_though_somebody_looks(tmp_path: Path, store: Store) -> None:
    with served(configured(tmp_path), store) as url:
        stream = Stream(url, NAME)
        stream.next()
    with pytest.raises((EOFError, ConnectionError)):
        _to_the_end(stream)


def _to_the_end(stream: Stream) -> None:
    while True:
        stream.next()


# --- how it starts


def test_the_token_is_told_once_unless_nothing_can_be_changed(tmp_path: Path, store: Store) -> None:
    said: list[str] = []
    with served(configured(tmp_path), store, said) as url:
        assert url.startswith("http://127.0.0.1:")
    assert said[0] == f"the dashboard is at {url}"
    assert len(said) == 2
    assert len(said[1].rpartition(" ")[2]) > 20
    for settings in ({"read_only": True}, {"token": "mine"}):
        said.clear()
        with served(configured(tmp_path), store, said, **settings):
            pass
        assert len(said) == 1


def test_a_port_in_use_is_said_with_its_number(tmp_path: Path) -> None:
    path = write_config(tmp_path, "mqtt://localhost", "p")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        command = [sys.executable, "-m", "iot_stream.cli", "dashboard", "--config", str(path), "--port", port]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1
    assert f"cannot listen on 127.0.0.1 port {port}" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_what_must_be_installed_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_config(tmp_path, "mqtt://localhost", "p")
    monkeypatch.setitem(sys.modules, "iot_stream.watch.dashboard.server", None)
    ended = CliRunner().invoke(main, ["dashboard", "--config", str(path)])
    assert ended.exit_code == 2
    assert "pip install 'iot-stream[dashboard]'" in ended.output
    assert not (tmp_path / "store").exists()


def test_it_is_off_unless_configured_and_on_loopback_unless_told(tmp_path: Path) -> None:
    path = write_config(tmp_path, "mqtt://localhost", "p")
    assert load(path).dashboard is None
    path.write_text(path.read_text() + "dashboard: {}\n")
    settings = load(path).dashboard
    assert settings is not None
    assert (settings.host, settings.port, settings.read_only) == ("127.0.0.1", 8480, False)


def test_a_token_of_the_environment_that_is_not_there_is_said(tmp_path: Path) -> None:
    path = write_config(tmp_path, "mqtt://localhost", "p")
    path.write_text(path.read_text() + "dashboard: {token: '${NO_SUCH_TOKEN}', port: 0}\n")
    ended = CliRunner().invoke(main, ["dashboard", "--config", str(path)])
    assert ended.exit_code == 2
    assert "dashboard.token: the environment has no NO_SUCH_TOKEN" in ended.output
