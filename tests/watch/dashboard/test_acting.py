"""Actions and files over HTTP: who may, and what is answered."""

import json
import urllib.request

import pytest

from iot_stream.config import Config
from iot_stream.store import Store
from tests.service.running import NAME
from tests.watch.dashboard.serving import ask, served
from tests.watch.dashboard.test_models import WEIGHTS, add
from tests.watch.stores import hear

TOKEN = "shown-once"
BODY = json.dumps({"pipeline": NAME, "device": "pump", "reason": "sensor fell"}).encode()


@pytest.fixture
def store(store: Store) -> Store:
    hear(store, "pump")
    return store


def test_who_shows_the_token_may_and_sees_it_at_once(config: Config, store: Store) -> None:
    with served(config, store, token=TOKEN) as url:
        device = f"{url}/api/{NAME}/device?device=pump"
        assert ask(device)[1]["holds"] == []
        status, said = ask(f"{url}/api/actions/pause", "POST", BODY, X_Iot_Stream_Token=TOKEN)
        assert (status, list(said)) == (200, ["outcome"])
        assert said["outcome"].startswith(f"{NAME}/pump: nothing is learnt")
        assert [held["reason"] for held in ask(device)[1]["holds"]] == ["sensor fell"]
        status, said = ask(f"{url}/api/actions/pause", "POST", BODY, X_Iot_Stream_Token=TOKEN)
        assert (status, "is paused already" in said["error"]) == (400, True)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"X_Iot_Stream_Token": "guessed"}, 401),
        ({"X_Iot_Stream_Token": TOKEN, "Origin": "http://elsewhere.example"}, 403),
        ({"X_Iot_Stream_Token": TOKEN, "Host": "elsewhere.example"}, 421),
    ],
)
def test_nobody_else_may(config: Config, store: Store, headers: dict[str, str], status: int) -> None:
    with served(config, store, token=TOKEN) as url:
        found, said = ask(f"{url}/api/actions/pause", "POST", BODY, **headers)
    assert (found, list(said)) == (status, ["error"])
    assert store.scope.holds(NAME) == []


def test_where_it_is_read_only_nobody_may(config: Config, store: Store) -> None:
    with served(config, store, token=TOKEN, read_only=True) as url:
        status, said = ask(f"{url}/api/actions/pause", "POST", BODY, X_Iot_Stream_Token=TOKEN)
        assert ask(f"{url}/api/about")[1]["read_only"]
    assert (status, "read-only" in said["error"]) == (403, True)
    assert store.scope.holds(NAME) == []


def test_a_link_does_nothing(config: Config, store: Store) -> None:
    with served(config, store, token=TOKEN) as url:
        assert ask(f"{url}/api/actions/pause")[0] in (404, 405)
    assert store.scope.holds(NAME) == []


def test_files_of_a_version_are_saved_under_its_name(config: Config, store: Store) -> None:
    content = add(store, 3, WEIGHTS, cohort="hall 2%2F")
    with served(config, store) as url:
        files = ask(f"{url}/api/{NAME}/models?version=3&cohort=hall%202%252F")[1]["files"]
        path = next(each["path"] for each in files if each["kind"] == "weights")
        with urllib.request.urlopen(f"{url}/api/{NAME}/{path}", timeout=20) as answer:
            assert answer.read() == content
            assert answer.headers["Content-Disposition"].startswith(
                "attachment; filename*=utf-8''tiny-hall%202"
            )
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
        status, said = ask(f"{url}/api/{NAME}/models/all/3/weights")
        assert (status, "has no version 3" in said["error"]) == (400, True)
        assert ask(f"{url}/api/nothing/models/all/3/weights")[0] == 404
