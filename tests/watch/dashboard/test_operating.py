"""Rounds, models, rollouts and one device in a real browser, and everything that can be done there."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Locator, Page, expect

from iot_stream.artifact.encodings import decode
from iot_stream.service.broker import Broker
from iot_stream.store.registry import Round
from iot_stream.store.rollouts import ABORTED, DONE, PAUSED, RUNNING
from tests.service.running import NAME
from tests.waiting import wait_until
from tests.watch.dashboard.live import Looking, Site, site

pytestmark = pytest.mark.slow

PHONE = 360
DEVICE = "machine-01"


@pytest.fixture
def staged(broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Versions go out in stages that nothing but a person ends."""
    folder = tmp_path_factory.mktemp("staged")
    health = {"failures": 1.0, "drop": 1.0, "confidence": 1.0, "latency": 1000}
    release = {"stages": ["60%", "100%"], "soak": "1 h", "health": health}
    with site(folder, broker.url, f"staged-{folder.name}", release=release) as running:
        yield running


def do(looking: Looking, button: Locator, *, verb: str = "", reason: str = "") -> None:
    """Press, answer the question, give the token where it is asked for, and wait for what came of it. `verb`:
    of the answer; without it there is no question."""
    page = looking.page
    for before in page.locator(".toast button").all():
        before.click()
    button.click()
    if verb:
        if reason:
            page.fill("dialog #reason", reason)
        page.locator("dialog").get_by_role("button", name=verb, exact=True).click()
    page.locator("#token, .toast").first.wait_for()
    if page.locator("#token").count():
        looking.give_token()
    page.locator(".toast").wait_for()


def explained(each: Round) -> bool:
    """A round that judged and says why it changed the student."""
    return bool(each.report.get("why", {}).get("drift")) and each.outcome == "released"


def outcome(page: Page) -> Locator:
    """What came of it, which must be no complaint."""
    expect(page.locator(".toast.wrong")).to_have_count(0)
    return page.locator(".toast")


def test_a_round_is_watched_and_explains_itself(looking: Looking, live: Site) -> None:
    page = looking.show("rounds")
    rows = page.locator("tbody tr")
    before = rows.first.locator("a").first.text_content()
    expect(rows.first).not_to_contain_text(before or "")  # live, without a reload
    rounds = live.store.registry.rounds(NAME)
    ended, report = next((each.id, each.report) for each in reversed(rounds) if explained(each))
    page.get_by_role("link", name=ended).first.click()
    expect(page.get_by_role("heading", name=ended)).to_be_visible()
    for part in ("Gate", "Why it changed", "What drives the decision", "What drifted", "Learnt from", "Cost"):
        expect(page.get_by_role("heading", name=part, exact=True)).to_be_visible()
    expect(page.locator(".interval circle")).to_have_count(1)
    expect(page.locator(".interval figcaption")).to_contain_text(f"{abs(report['gate']['gain']):.3f}")
    expect(page.locator(".why .bar-of").first).to_be_visible()
    page.go_back()
    expect(page.get_by_role("heading", name="Rounds", exact=True)).to_be_visible()


def test_a_round_is_asked_for(looking: Looking, live: Site) -> None:
    page = looking.show("rounds")
    do(looking, page.get_by_role("button", name="Distil now"))
    outcome(page)
    asked = live.store.read("SELECT who, kind FROM commands WHERE kind = 'distil' ORDER BY id DESC LIMIT 1")
    assert [tuple(row) for row in asked] == [("dashboard", "distil")]
    rounds = live.store.registry.rounds
    wait_until(lambda: any(each.trigger == "command" for each in rounds(NAME)), "such a round", 60)
    expect(page.locator("tbody tr").filter(has_text="command").first).to_be_visible()


def test_learning_is_paused_and_goes_on(looking: Looking, live: Site) -> None:
    page = looking.show("rounds")
    do(
        looking,
        page.get_by_role("button", name="Pause learning"),
        verb="Pause learning",
        reason="works going on",
    )
    expect(outcome(page)).to_contain_text("nothing is learnt from what it says since")
    expect(page.locator(".notice")).to_have_text("Learning is paused: works going on")
    assert [(each.device, each.who) for each in live.store.scope.holds(NAME)] == [("", "dashboard")]
    do(looking, page.get_by_role("button", name="Learn again"))
    expect(outcome(page)).to_contain_text("is learnt from again")
    expect(page.locator(".notice")).to_have_count(0)
    assert live.store.scope.holds(NAME) == []


def newest(live: Site) -> tuple[int, int]:
    """The last two versions, as soon as there are two."""
    versions = live.store.registry.versions
    wait_until(lambda: len(versions(NAME)) > 1, "two versions", 90)
    one, two = versions(NAME)[-2:]
    return one.version, two.version


def test_versions_are_shown_and_downloaded(looking: Looking, live: Site) -> None:
    number, _ = newest(live)
    page = looking.show("models")
    page.get_by_role("link", name=f"{number}", exact=True).click()
    expect(page.get_by_role("heading", name=f"Version {number}", exact=True)).to_be_visible()
    with page.expect_download() as waited:
        page.get_by_role("link", name=re.compile("weights.safetensors$")).click()
    version = live.store.registry.version(NAME, "all", number)
    assert version
    content = waited.value.path().read_bytes()
    assert content == live.store.registry.artifact(version.weights)
    assert decode(version.encoding, content).tensors
    assert waited.value.suggested_filename == f"{NAME}-all-{number}-weights.safetensors"
    page.get_by_role("link", name="← all versions").click()
    expect(page.get_by_role("heading", name="Models")).to_be_visible()


def test_two_versions_are_compared(looking: Looking, live: Site) -> None:
    one, two = newest(live)
    page = looking.show("models")
    compare = page.get_by_role("button", name="Compare")
    expect(compare).to_be_disabled()
    for number in (one, two):
        page.get_by_label(f"compare version {number}", exact=True).check()
    expect(compare).to_have_text(f"Compare {one} and {two}")
    compare.click()
    expect(page.get_by_role("heading", name=f"Version {one} beside version {two}")).to_be_visible()
    expect(page.get_by_text(re.compile(r"of the first one's length, over \d+ weights"))).to_be_visible()
    expect(page.get_by_text("Nowhere: both see readings in the same way.")).to_be_visible()


def test_a_version_is_rolled_back_to(looking: Looking, live: Site) -> None:
    old, _ = newest(live)
    page = looking.show("models")
    button = page.get_by_role("button", name=f"Roll back to version {old}", exact=True)
    do(looking, button, verb="Roll back")
    expect(outcome(page)).to_contain_text(re.compile(rf"version \d+ carries the weights of version {old}"))
    rolled = [each for each in live.store.registry.versions(NAME) if "rollback_of" in each.provenance]
    assert rolled[-1].provenance["rollback_of"] == old
    row = page.locator("tbody tr").filter(has_text=f"the weights of version {old}")
    expect(row.first).to_be_visible()
    number, devices = rolled[-1].version, live.store.registry.devices
    wait_until(lambda: all(each.version >= number for each in devices(NAME)), "devices take it", 90)


def test_a_rollout_is_paused_resumed_advanced_and_called_off(staged: Site, looking: Looking) -> None:
    rollouts = staged.store.rollouts

    def state() -> str:
        last = rollouts.last(NAME, "all")
        return last.state if last else ""

    looking.url = staged.url
    wait_until(lambda: state() == RUNNING, "a rollout", 90)
    page = looking.show("rollouts")
    current = page.locator(".track [aria-current=step]")
    expect(current).to_have_text("60 %")
    expect(page.get_by_role("columnheader", name="control")).to_be_visible()
    wait_until(lambda: bool(staged.store.overview.events(NAME, 0)), "devices report", 60)
    do(looking, page.get_by_role("button", name="Pause"), verb="Pause", reason="look first")
    expect(outcome(page)).to_contain_text("is paused at 60 %")
    assert state() == PAUSED
    do(looking, page.get_by_role("button", name="Resume"), verb="Resume", reason="looked")
    assert state() == RUNNING
    first = rollouts.of(NAME)[-1].version
    do(looking, page.get_by_role("button", name="Advance"), verb="Advance", reason="it is fine")
    expect(outcome(page)).to_contain_text(f"version {first} goes to all devices")
    assert [each.state for each in rollouts.of(NAME) if each.version == first] == [DONE]
    expect(page.locator("tbody tr").filter(has_text="it is fine").first).to_contain_text("dashboard")
    wait_until(lambda: state() == RUNNING, "the next rollout", 90)
    expect(current).to_have_text("60 %")
    do(looking, page.get_by_role("button", name="Abort"), verb="Abort", reason="changed my mind")
    expect(outcome(page)).to_contain_text("is called off")
    assert ABORTED in [each.state for each in rollouts.of(NAME)]


def test_a_device_is_seen_live(looking: Looking, live: Site) -> None:
    page = looking.show("fleet")
    page.get_by_role("link", name=DEVICE).click()
    expect(page.get_by_role("heading", name=DEVICE)).to_be_visible()
    expect(page.locator(".plots .plot")).to_have_count(10)
    expect(page.locator(".badge.is-online")).to_be_visible()
    readout = page.locator(".plots .readout").first
    before = readout.text_content()
    expect(readout).not_to_have_text(before or "")
    known = live.store.registry.device(NAME, DEVICE)
    assert known
    expect(page.locator(".tiles dd").first).to_have_text(re.compile(r"^\d+$"))
    expect(page.locator("canvas.strip")).to_have_attribute(
        "aria-label", re.compile(r"by device, teacher.*windows")
    )
    page.get_by_role("button", name="1 min", exact=True).click()
    expect(page.get_by_role("button", name="1 min", exact=True)).to_have_attribute("aria-pressed", "true")
    page.get_by_role("button", name="← earlier").click()
    expect(page.get_by_role("button", name="live")).to_have_attribute("aria-pressed", "false")
    page.get_by_role("button", name="live").click()
    expect(page.locator("tbody tr").filter(has_text="applied").first).to_be_visible()


def test_learning_from_a_device_is_paused_and_its_sensor_replaced(looking: Looking, live: Site) -> None:
    page = looking.show(f"device/{DEVICE}")
    do(
        looking,
        page.get_by_role("button", name="Pause learning"),
        verb="Pause learning",
        reason="sensor fell",
    )
    expect(page.locator(".notice")).to_contain_text("sensor fell")
    assert [(each.device, each.who) for each in live.store.scope.holds(NAME)] == [(DEVICE, "dashboard")]
    do(looking, page.get_by_role("button", name="Learn from it again"), verb="Learn from it again")
    expect(page.locator(".notice")).to_have_count(0)
    assert live.store.scope.holds(NAME) == []
    do(looking, page.get_by_role("button", name="Sensor replaced"), verb="Sensor replaced")
    expect(outcome(page)).to_contain_text(f"{DEVICE} is another sensor since")
    expect(page.get_by_text("Sensor replaced: ")).to_be_visible()
    assert list(live.store.scope.replacements(NAME)) == [DEVICE]


def test_a_time_is_excluded_by_dragging_and_taken_back(looking: Looking, live: Site) -> None:
    page = looking.show(f"device/{DEVICE}")
    page.get_by_role("button", name="1 min", exact=True).click()
    expect(page.get_by_role("button", name="1 min", exact=True)).to_have_attribute("aria-pressed", "true")
    canvas = page.locator(".plots canvas").first
    expect(canvas).to_be_visible()
    box = canvas.bounding_box()
    assert box
    middle = box["y"] + box["height"] / 3
    page.mouse.move(box["x"] + box["width"] * 0.4, middle)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.7, middle, steps=4)
    begun = live.store.journal.now(NAME)
    wait_until(lambda: live.store.journal.now(NAME) > begun + 3 * 10**9, "readings that come meanwhile", 60)
    page.mouse.up()
    dialog = page.locator("dialog")
    expect(dialog).to_contain_text("Exclude this time")
    do(looking, page.locator("dialog #reason"), verb="Exclude", reason="forklift")
    expect(outcome(page)).to_contain_text("not to be learnt from")
    (found,) = live.store.scope.exclusions(NAME)
    assert (found.device, found.reason, found.who) == (DEVICE, "forklift", "dashboard")
    assert 5 < (found.end - found.start) / 1e9 < 40
    row = page.locator("tbody tr").filter(has_text="forklift")
    expect(row).to_be_visible()
    do(looking, row.get_by_role("button"), verb="Learn from it")
    expect(row).to_have_count(0)
    assert live.store.scope.exclusions(NAME) == []


def test_a_time_is_excluded_by_typing(looking: Looking, live: Site) -> None:
    page = looking.show(f"device/{DEVICE}")
    page.get_by_text("Exclude a time by typing it").click()
    page.get_by_label("from", exact=True).fill("2026-02-19 14:43:20")
    page.get_by_label("to", exact=True).fill("2026-02-19 14:44:00")
    page.get_by_role("button", name="Exclude …").click()
    do(looking, page.locator("dialog #reason"), verb="Exclude", reason="power cut")
    found = live.store.scope.exclusions(NAME)[-1]
    assert (found.start, found.end - found.start) == (1_771_512_200 * 10**9, 40 * 10**9)
    live.store.scope.remove(NAME, found.id)


def test_a_wrong_token_changes_nothing_and_says_so(looking: Looking, live: Site) -> None:
    page = looking.show("rounds")
    page.get_by_role("button", name="Pause learning").click()
    page.fill("dialog #reason", "x")
    page.locator("dialog").get_by_role("button", name="Pause learning", exact=True).click()
    page.fill("dialog #token", "guessed")
    page.locator("dialog button[type=submit]").click()
    expect(page.locator(".toast.wrong")).to_contain_text("the token is missing or wrong")
    page.locator("dialog").get_by_role("button", name="Cancel").click()
    assert live.store.scope.holds(NAME) == []
    looking.wrong = [each for each in looking.wrong if "401" not in each]  # the browser's own word on it


def test_what_is_not_there_says_what_to_do(looking: Looking) -> None:
    page = looking.show("rounds")
    for path, words in (
        ("rounds/nothing", "has no round"),
        ("models/all/999", "has no version 999"),
        ("device/nobody", "knows no device"),
    ):
        page.goto(f"{looking.url}/#/{NAME}/{path}")
        expect(page.locator(".empty")).to_contain_text(words)
    looking.wrong = [each for each in looking.wrong if "400" not in each]


def paths(live: Site) -> list[str]:
    newest(live)
    told = next(each.id for each in reversed(live.store.registry.rounds(NAME)) if each.report.get("why"))
    return [
        "rounds",
        f"rounds/{told}",
        "models",
        "models/all/1",
        "models/all/1/beside/all/2",
        "rollouts",
        f"device/{DEVICE}",
    ]


@pytest.mark.parametrize("looking", [PHONE], indirect=True)
def test_a_phone_is_wide_enough(looking: Looking, live: Site) -> None:
    assert [path for path in paths(live) if looking.show(path) and looking.too_wide()] == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_nothing_hinders_anyone(looking: Looking, live: Site, theme: str) -> None:
    looking.page.emulate_media(color_scheme=theme)  # type: ignore[arg-type]  # one of the two
    found = {path: looking.findings() for path in paths(live) if looking.show(path)}
    assert [each for each in found.items() if each[1]] == []
    assert len(found) == 7
