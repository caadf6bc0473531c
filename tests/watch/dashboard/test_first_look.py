"""What the page says in a browser where little has happened yet, or something is not as it should be.

Over a store that was filled by hand."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from iot_stream.config import Config
from iot_stream.store import Store
from tests.service.running import NAME
from tests.streams import START
from tests.watch.dashboard.live import Looking
from tests.watch.dashboard.serving import served
from tests.watch.dashboard.windows import cut
from tests.watch.stores import SECOND, end_round, hear, join, release, speak

pytestmark = pytest.mark.slow

OFF = 3_000_000  # ns between device and service, where each stamps what the sensor says


@pytest.fixture
def looking(config: Config, store: Store, browser: Browser) -> Iterator[Looking]:
    with served(config, store) as url:
        context = browser.new_context(viewport={"width": 1280, "height": 800})
        found = Looking(context.new_page(), url).watch()
        try:
            yield found
        finally:
            context.close()
    assert found.wrong == []


def kitchen(config: Config, store: Store, off: int = 0) -> None:
    release(store, 1)
    join(store, "kitchen", 1)
    hear(store, "kitchen", count=60)
    for number in range(40):
        end = START + number * SECOND
        cut(store, config, "kitchen", end)
        scored = {"static": 0, "teacher": 1} if number < 30 else {}
        speak(store, "kitchen", end, 1 if number % 3 else None, **scored)
        speak(store, "kitchen", end + off, None, student=1)


def states(page: Page) -> list[str]:
    return page.locator(".machine b").all_text_contents()


def test_before_anything_it_says_how_to_begin(looking: Looking) -> None:
    expect(looking.show("promise").locator("pre")).to_contain_text("iot-stream demo")
    page = looking.show("rounds")
    expect(page.get_by_role("button", name="Distil now, the first round")).to_be_visible()
    expect(page.locator("main")).not_to_contain_text("--once")


def test_a_configuration_that_has_changed_is_said_above_every_view(
    config: Config, store: Store, browser: Browser, tmp_path: Path
) -> None:
    path = tmp_path / "config.yml"
    with served(config, store, path=path) as url, browser.new_context() as context:
        looking = Looking(context.new_page(), url).watch()
        notices = looking.show("rounds").locator("#notices")
        expect(notices).to_be_hidden()
        path.write_text(f"{path.read_text()}# edited\n")
        expect(notices).to_contain_text("config.yml has changed", timeout=15_000)
        assert looking.findings() == []
        looking.show("fleet")
        expect(notices).to_be_visible()
    assert looking.wrong == []


def test_all_are_told_on_the_same_windows(config: Config, store: Store, looking: Looking) -> None:
    kitchen(config, store)
    end_round(store, 1, "held", START, START + SECOND, gate={"reason": "too few windows"})
    page = looking.show("promise")
    for model in ("student", "static", "teacher"):
        expect(page.locator(f".edge-{model} .note")).to_have_text(
            "newest 20 labelled windows that all have told"
        )
    expect(page.locator(".tiles")).to_contain_text("no drift trigger is set (triggers.drift)")
    expect(page.locator("#happened")).to_contain_text("held: too few windows (period)")


def test_predictions_that_meet_no_window_are_no_silence(
    config: Config, store: Store, looking: Looking
) -> None:
    kitchen(config, store, OFF)
    words = "39 predictions, none at a window's end"  # the last may yet meet one
    expect(looking.show("promise").locator(".edge-student .note")).to_contain_text(words)
    row = looking.show("fleet").locator("tbody tr").first
    expect(row).to_contain_text("meets no window")
    expect(row).to_contain_text("90")
    page = looking.show("device/kitchen")
    expect(page.locator(".notice")).to_contain_text(words)
    expect(page.locator(".tiles")).to_contain_text("certain by 90")
    assert looking.findings() == []


def test_an_update_is_drawn_with_where_it_stands_and_what_stopped_it(store: Store, looking: Looking) -> None:
    release(store, 3)
    join(store, "kitchen", 3)
    join(store, "porch", 2)
    passed = ["VERIFY", "FETCH", "TEST", "WRITE", "RUNNING"]
    applied = {"event": "applied", "version": 3, "previous": 2}
    store.registry.add_event(NAME, "kitchen", "applied", 3, 0, json.dumps(applied))
    page = looking.show("device/kitchen")
    assert states(page) == ["RUNNING", *passed]
    expect(page.locator(".machine [aria-current=step]")).to_contain_text("version 3")
    refusal = {"event": "rejected", "offered": 3, "version": 2, "reason": "self_test"}
    store.registry.add_event(NAME, "porch", "rejected", 2, 0, json.dumps(refusal))
    page = looking.show("device/porch")
    expect(page.locator(".machine [aria-current=step]")).to_contain_text("version 2")
    expect(page.locator(".machine .stopped b")).to_have_text("TEST")
    assert looking.findings() == []
    page.set_viewport_size({"width": 360, "height": 800})
    assert not looking.too_wide()


def test_whoever_goes_by_keys_sees_no_frame_around_the_page(looking: Looking) -> None:
    page = looking.show("promise")
    page.keyboard.press("2")
    expect(page.get_by_role("heading", name="Fleet")).to_be_visible()
    main = page.locator("main")
    expect(main).to_be_focused()
    expect(main).to_have_css("outline-style", "none")
