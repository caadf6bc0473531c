"""The dashboard in a real browser, beside a real service and fleet."""

import re

import pytest
from playwright.sync_api import Route, expect

from tests.service.running import NAME
from tests.waiting import wait_until
from tests.watch.dashboard.live import DEVICES, Looking, Site

pytestmark = pytest.mark.slow

VIEWS = ("promise", "fleet", "topics")
PHONE = 360


def test_the_promise_is_the_first_page_and_goes_on_without_a_reload(looking: Looking) -> None:
    page = looking.page
    page.goto(looking.url)
    expect(page.get_by_role("heading", name="Promise")).to_be_visible()
    expect(page.locator("#state")).to_have_text("live")
    expect(page.get_by_role("heading", name="Accuracy over time")).to_be_visible()
    for model in ("student", "static", "teacher"):
        expect(page.locator(f".edge-{model} dd").first).to_have_text(re.compile(r"^\d+\.\d"))
    note = page.locator("section p.soft").first
    before = note.text_content()
    expect(note).not_to_have_text(before or "")
    expect(page.locator("#happened tr").filter(has_text=NAME).first).to_be_visible()


def test_what_cannot_be_told_is_not_said(looking: Looking) -> None:
    """Readings without numbers, labels that join no window, a drift of which nothing better came."""
    page = looking.page

    def otherwise(route: Route) -> None:
        found = route.fetch().json()
        vain = {
            "round": "r6",
            "trigger": "drift",
            "seconds": None,
            "version": 0,
            "words": "and was no better",
        }
        found |= {"by": "teacher", "judged": 0, "strayed": 120, "behind": False, "recovery": vain}
        found |= {"numbered": 0, "lost": 0, "missed": 0}
        route.fulfill(json=found)

    page.route(re.compile(r"/promise(\?.*)?$"), otherwise)
    looking.show("promise")
    expect(page.locator("section p.soft").first).to_contain_text(
        "120 labels came and none has joined a window"
    )
    told = page.locator("dl.tiles > div")
    expect(told.filter(has_text="loss cannot be told").locator("dd").first).to_have_text("–")
    expect(told.filter(has_text="was no better").locator("dd").first).to_have_text("not yet")


def test_the_latest_is_of_one_moment(looking: Looking) -> None:
    """The teacher is asked later than the student speaks."""
    page = looking.page

    def otherwise(route: Route) -> None:
        found = route.fetch().json()
        curves = {"student": [0.9, 0.8, 1.0], "static": [0.5, 0.4, None], "teacher": [0.97, 0.96, None]}
        found |= {"by": "labels", "times": [100.0, 160.0, 220.0], "marks": []}
        found["curves"] = {
            name: {"plain": each, "balanced": each, "windows": [1, 1, 1]} for name, each in curves.items()
        }
        route.fulfill(json=found)

    page.route(re.compile(r"/promise(\?.*)?$"), otherwise)
    looking.show("promise")
    told = r"latest, 1970-01-01 00:02:40 UTC: student 80\.0.% · static 40\.0.% · teacher 96\.0.%"
    expect(page.locator(".readout")).to_have_text(re.compile(told))


def test_a_drag_looks_closer_and_a_button_shows_all_again(looking: Looking) -> None:
    page = looking.show("promise")
    box = page.locator(".plot canvas").bounding_box()
    assert box
    all_ = page.get_by_role("button", name="show all")
    expect(all_).to_be_hidden()
    middle = box["y"] + box["height"] / 3
    page.mouse.move(box["x"] + box["width"] * 0.5, middle)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.8, middle, steps=4)
    page.mouse.up()
    expect(all_).to_be_visible()
    all_.click()
    expect(all_).to_be_hidden()


def test_what_it_is_judged_by_can_be_chosen(looking: Looking) -> None:
    page = looking.show("promise")
    page.get_by_role("button", name="by the teacher's word").click()
    expect(page.get_by_role("heading", name="Agreement with the teacher over time")).to_be_visible()
    expect(page.locator(".edge-teacher")).to_have_count(0)
    page.get_by_role("button", name="balanced over classes").click()
    expect(page.get_by_role("button", name="balanced over classes")).to_have_attribute("aria-pressed", "true")
    page.get_by_role("button", name="by labels").click()
    expect(page.get_by_role("heading", name="Accuracy over time")).to_be_visible()


def test_the_fleet_is_searched_filtered_and_sorted(looking: Looking) -> None:
    page = looking.show("fleet")
    rows = page.locator("tbody tr")
    expect(rows).to_have_count(DEVICES)
    expect(page.locator(".head p")).to_contain_text(f"{DEVICES} online")
    page.keyboard.press("/")
    page.keyboard.type("machine-02")
    expect(rows).to_have_count(1)
    expect(rows.first).to_contain_text("machine-02")
    page.keyboard.press("Escape")
    expect(rows).to_have_count(DEVICES)
    page.get_by_label("State").select_option("offline")
    expect(rows).to_have_count(0)
    page.get_by_label("State").select_option("")
    page.get_by_role("button", name="device").click()
    expect(rows.first).to_contain_text(f"machine-0{DEVICES - 1}")
    expect(page.locator("th[aria-sort=descending]")).to_contain_text("device")


def test_messages_are_shown_as_they_come_until_paused(looking: Looking, live: Site) -> None:
    page = looking.show("topics")
    rows = page.locator("tbody tr")
    expect(rows.filter(has_text="started")).not_to_have_count(0)
    page.get_by_role("button", name="pause").click()
    rounds = len(live.store.registry.rounds(NAME))
    before = rows.first.text_content()
    wait_until(lambda: len(live.store.registry.rounds(NAME)) > rounds, "another round", 60)
    expect(rows.first).to_have_text(before or "")
    page.get_by_role("button", name="go on").click()
    expect(rows.first).not_to_have_text(before or "")
    page.get_by_role("button", name="round", exact=True).click()
    expect(rows.filter(has_text=re.compile("^.{8}round"))).to_have_count(0)


def test_it_comes_back_when_the_service_does(looking: Looking, live: Site) -> None:
    page = looking.show("promise")
    state = page.locator("#state")
    expect(state).to_have_text("live")
    live.restart()
    expect(state).to_have_text("connecting")
    wait_until(live.answers, "the dashboard is back", 60)
    expect(state).to_have_text("live")
    note = page.locator("section p.soft").first
    before = note.text_content()
    expect(note).not_to_have_text(before or "")
    expect(page.locator(".trouble")).to_have_count(0)
    looking.wrong = [
        each for each in looking.wrong if "ERR_" not in each
    ]  # what the browser says of a lost stream


@pytest.mark.parametrize("looking", [PHONE], indirect=True)
@pytest.mark.parametrize("view", VIEWS)
def test_a_phone_is_wide_enough(looking: Looking, view: str) -> None:
    looking.show(view)
    assert not looking.too_wide()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("view", VIEWS)
def test_nothing_hinders_anyone(looking: Looking, view: str, theme: str) -> None:
    looking.page.emulate_media(color_scheme=theme)  # type: ignore[arg-type]  # one of the two
    looking.show(view)
    assert looking.findings() == []


def test_all_views_are_reached_by_keys(looking: Looking) -> None:
    page = looking.show("promise")
    for number, view in enumerate(VIEWS, 1):
        page.keyboard.press(page.locator(f"#nav a[data-path={view}]").get_attribute("title")[-1])  # type: ignore[index]
        expect(page.locator(f"#nav a[data-path={view}]")).to_have_attribute("aria-current", "page")
        assert number
    page.keyboard.press("?")
    expect(page.get_by_role("heading", name="Keys")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("heading", name="Keys")).to_have_count(0)


def test_the_theme_is_kept(looking: Looking) -> None:
    page = looking.show("promise")
    button = page.get_by_role("button", name=re.compile("Theme"))
    button.click()
    button.click()
    page.reload()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
