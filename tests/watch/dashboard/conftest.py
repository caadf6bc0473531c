"""A live fleet for each file that looks at the dashboard, since it keeps the machine busy, and a browser."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from iot_stream.config import Config
from iot_stream.service.broker import Broker
from iot_stream.store import Store
from tests.watch.dashboard.live import CHROMIUM, Looking, Site, chromium, site
from tests.watch.stores import configured


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return configured(tmp_path)


@pytest.fixture
def store(config: Config) -> Iterator[Store]:
    opened = Store(config.store_place)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def live(broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("dashboard")
    with site(folder, broker.url, f"dashboard-{folder.name}") as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("no Chromium is installed: apt-get install chromium")
    with chromium() as running:
        yield running


@pytest.fixture
def looking(live: Site, browser: Browser, request: pytest.FixtureRequest) -> Iterator[Looking]:
    """A fresh page of a fresh browser, 1280 wide or as `@pytest.mark.parametrize(…, indirect)` says; nothing
    may be wrong on it at the end."""
    width = getattr(request, "param", 1280)
    context = browser.new_context(viewport={"width": width, "height": 800})
    found = Looking(context.new_page(), live.url).watch()
    try:
        yield found
    finally:
        context.close()
    assert found.wrong == []
