"""Ten thousand devices, in a browser: only what is in sight is in the page."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from iot_stream.store import Store
from tests.service.running import NAME
from tests.streams import START
from tests.watch.dashboard.serving import served
from tests.watch.stores import configured

pytestmark = pytest.mark.slow

DEVICES = 10_000
IN_SIGHT = 80


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "store")
    with store.write() as tx:
        tx.executemany(
            "INSERT INTO devices VALUES (?,?,?,?,?,?,?,0)",
            [
                (NAME, f"machine-{number:05d}", "all", number % 100 > 0, number % 3, START, "{}")
                for number in range(DEVICES)
            ],
        )
    yield store
    store.close()


def test_ten_thousand_devices_are_a_page_of_some_dozens(
    tmp_path: Path, store: Store, browser: Browser
) -> None:
    with served(configured(tmp_path), store) as url:
        page = browser.new_page()
        page.goto(f"{url}/#/{NAME}/fleet")
        rows, table = page.locator("tbody tr:not([aria-hidden])"), page.locator("table")
        expect(table).to_have_attribute("aria-rowcount", str(DEVICES + 1))
        expect(page.locator(".head p")).to_contain_text("9\u202f900 online")
        assert rows.count() < IN_SIGHT
        page.locator(".rows").evaluate("box => box.scrollTo(0, box.scrollHeight)")
        expect(page.get_by_role("link", name=f"machine-{DEVICES - 1:05d}")).to_be_visible()
        assert rows.count() < IN_SIGHT
        expect(rows.last).to_have_attribute("aria-rowindex", str(DEVICES + 1))
        page.get_by_label("State").select_option("offline")
        expect(table).to_have_attribute("aria-rowcount", "101")
        page.get_by_role("searchbox").fill("machine-00100")
        expect(rows).to_have_count(1)
        page.get_by_label("State").select_option("")
        page.get_by_role("searchbox").fill("")
        page.get_by_role("button", name="version").click()
        page.get_by_role("button", name="version").click()
        page.locator(".rows").evaluate("box => box.scrollTo(0, 0)")
        expect(rows.first).to_contain_text("machine-00002")
        page.close()
