"""The examples of teachers of one's own: a foundation model's encoder, a service behind HTTP."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from iot_stream.config import Network, load
from iot_stream.config.learning import TrainSettings
from iot_stream.cut import Cut
from iot_stream.distill import teachers
from iot_stream.distill.models.factory import importable, made
from iot_stream.distill.teachers import Lessons, Teacher
from iot_stream.errors import ModelError, TeacherAway
from iot_stream.service import bootstrap

EXAMPLES = Path(__file__).parents[2] / "examples" / "teachers"
CUT = Cut(("x", "y"), ("x", "y"), length=8, hop=8)
NOTHING = Lessons(np.zeros((0, 8, 2), np.float32), np.zeros(0, np.int64))


@pytest.fixture(autouse=True)
def beside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.path", list(__import__("sys").path))
    importable(EXAMPLES)


# --- a foundation model -----------------------------------------------------------------------------


def waves(number: int, seed: int) -> Lessons:
    """Slow or fast."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, number)
    phase = np.arange(32) * np.where(y == 0, 0.3, 1.2)[:, None] + rng.uniform(0, 6, (number, 1))
    x = np.sin(phase) + 0.2 * rng.standard_normal((number, 32))
    return Lessons(x[:, :, None].astype(np.float32), y)


def test_a_head_on_a_frozen_encoder_learns_the_classes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import foundation  # beside the configuration, as a user's is

    torch.manual_seed(0)
    checkpoint = foundation.Encoder(32, 8, 16, 1, 2)
    safetensors.torch.save_model(checkpoint, tmp_path / "tiny.safetensors")
    monkeypatch.setattr(foundation, "__file__", str(tmp_path / "foundation.py"))
    options = {"checkpoint": "tiny.safetensors", "width": 16, "layers": 1, "heads": 2}
    network = Network.parse({"factory": "foundation:build", **options})
    cut = Cut(("x",), ("x",), length=32, hop=32)
    settings = TrainSettings(steps=300, rate=0.05)
    teacher, _ = teachers.train("key", waves(300, 0), cut, ("slow", "fast"), False, network, settings, 0)
    fresh = waves(200, 1)
    assert (teacher.logits(fresh.x).argmax(axis=1) == fresh.y).mean() > 0.9
    state = teacher.members[0].state()
    for name, weight in checkpoint.state_dict().items():
        np.testing.assert_array_equal(state[f"encoder.{name}"], weight.numpy())


def test_a_window_shorter_than_a_patch_is_refused() -> None:
    with pytest.raises(ModelError, match="a window of 4 readings is shorter than a patch of 8"):
        made("foundation:build", 4, 1, 2, 0)


def test_the_foundation_models_configuration_is_one() -> None:
    pipeline = load(EXAMPLES / "foundation.yml").pipelines["bearing"]
    assert pipeline.recordings is not None
    assert pipeline.recordings.bootstrap is not None
    found = bootstrap.load(pipeline, pipeline.recordings.bootstrap.student, EXAMPLES)
    assert found.teacher_x.shape[1:] == (256, 2)


# --- a service behind HTTP --------------------------------------------------------------------------


class Service(ThreadingHTTPServer):
    """Sums of each channel as logits. `answers`: status codes to give first; `asked`: windows a request."""

    def __init__(self, *answers: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers, self.asked = list(answers), list[int]()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/classify"


class _Handler(BaseHTTPRequestHandler):
    server: Service

    def do_POST(self) -> None:
        windows = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["windows"]
        self.server.asked.append(len(windows))
        status = self.server.answers.pop(0) if self.server.answers else 200
        rows = [[sum(value or 0 for value in column) for column in zip(*w, strict=True)] for w in windows]
        body = json.dumps({"logits": rows} if status == 200 else {"detail": "as told"}).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving(*answers: int) -> Iterator[Service]:
    with Service(*answers) as service:
        thread = threading.Thread(
            target=service.serve_forever, kwargs={"poll_interval": 0.01}, name="service"
        )
        thread.start()
        try:
            yield service
        finally:
            service.shutdown()
            thread.join()


def asking(url: str, **options: object) -> Teacher:
    network = Network.parse({"factory": "http_service:build", "url": url, "pause": 0.001, **options})
    return teachers.train("key", NOTHING, CUT, ("a", "b"), False, network, TrainSettings(), 0)[0]


X = np.random.default_rng(0).standard_normal((10, 8, 2)).astype(np.float32)


def test_windows_are_asked_for_in_batches_and_missing_values_are_null() -> None:
    x = X.copy()
    x[0, 3, 1] = np.nan
    with serving() as service:
        said = asking(service.url, batch=4).logits(x)
    assert service.asked == [4, 4, 2]
    np.testing.assert_allclose(said, np.nansum(x, axis=1), atol=1e-5)


def test_a_busy_service_is_asked_again() -> None:
    with serving(503, 429) as service:
        said = asking(service.url).logits(X)
    assert service.asked == [10, 10, 10]
    np.testing.assert_allclose(said, X.sum(axis=1), atol=1e-5)


def test_a_service_that_stays_away_is_waited_for() -> None:
    with serving(503, 503, 503) as service, pytest.raises(TeacherAway, match=r"asked 3 times: .*503"):
        asking(service.url, retries=2).logits(X)
    with pytest.raises(TeacherAway, match=r"asked 2 times: .*refused"):
        asking(service.url, retries=1).logits(X)


def test_what_a_service_does_not_understand_is_said_in_its_words() -> None:
    with serving(422) as service, pytest.raises(ModelError, match=r'422 \{"detail": "as told"\}') as caught:
        asking(service.url).logits(X)
    assert not isinstance(caught.value, TeacherAway)
    assert service.asked == [10]


def test_the_services_configuration_needs_no_recordings() -> None:
    pipeline = load(EXAMPLES / "http.yml").pipelines["pumps"]
    assert pipeline.recordings is None
    assert teachers.ready(pipeline.teacher)
