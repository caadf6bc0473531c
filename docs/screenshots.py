"""Takes the pictures of `dashboard.md`: `python docs/screenshots.py`, with Chromium and the dev extra.

A broker, a service and a fleet whose machines change are started, left alone for a while, and looked at.
"""

import sys
import tempfile
import time
from pathlib import Path

from PIL import Image

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from iot_stream.service.broker import start  # noqa: E402  after the path
from iot_stream.store import Store  # noqa: E402
from tests.service.running import NAME  # noqa: E402
from tests.watch.dashboard.live import chromium, site  # noqa: E402

VIEWS = {
    "promise": "promise",
    "fleet": "fleet",
    "rounds": "rounds",
    "round": "rounds/{round}",
    "models": "models",
    "rollouts": "rollouts",
    "device": "device/machine-01",
    "topics": "topics",
}
WAIT_S = 150  # for a drift, rounds and versions
SIZE = {"width": 1200, "height": 760}
CALM = {
    "train": {"steps": 400},
    "distill": {"first_steps": 400, "steps": 150},
    "triggers": {"every": "30 s", "drift": "adwin", "at_least": 100},
    "gate": {"n_min": 40, "delta": 0.03},
    "release": {"stages": ["50%", "100%"], "soak": "50 s"},
    "sample": {"recent": 600, "reservoir": 400},
}


def main() -> None:
    with (
        tempfile.TemporaryDirectory() as made,
        start(Path(made) / "broker") as broker,
        site(Path(made), broker.url, "pictures", devices=12, **CALM) as running,
        chromium() as browser,
    ):
        time.sleep(WAIT_S)
        for name, path in VIEWS.items():
            page = browser.new_page(viewport=SIZE)
            page.goto(f"{running.url}/#/{NAME}/{path.format(round=_explained(running.store))}")
            page.wait_for_selector("main:not([aria-busy]) h1")
            page.wait_for_timeout(4000)  # for what comes live
            shot = Path(made) / "shot.png"
            page.screenshot(path=shot)
            target = HERE / "images" / f"dashboard-{name}.png"
            _smaller(shot, target)
            print(target, target.stat().st_size)
            page.close()


def _explained(store: Store) -> str:
    """The newest round that says why it changed the student."""
    rounds = reversed(store.registry.rounds(NAME))
    return next(each.id for each in rounds if (each.report.get("why") or {}).get("drift"))


def _smaller(shot: Path, target: Path) -> None:
    """In 128 colours, of which a page has fewer."""
    Image.open(shot).convert("RGB").quantize(128).save(target, optimize=True)


if __name__ == "__main__":
    main()
