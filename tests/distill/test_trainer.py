import msgspec
import numpy as np
import pytest
import torch
from torch import nn

from iot_stream.config.learning import DistillSettings, TrainSettings
from iot_stream.distill.checkpoints import Checkpoints
from iot_stream.distill.export import named_weights
from iot_stream.distill.losses import Parts
from iot_stream.distill.models import build
from iot_stream.distill.trainer import distil, predict, train_supervised
from iot_stream.errors import ModelError

torch.set_num_threads(1)  # models this small wait for each other on two

LENGTH, CHANNELS, CLASSES = 32, 2, 3
TRAIN = TrainSettings(steps=60, batch=32, rate=1e-2)
DISTILL = DistillSettings(steps=80, batch=32, rate=2e-2)


def tones(number: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Windows whose class is the frequency of a tone in noise."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, CLASSES, number)
    phase = generator.uniform(0, 2 * np.pi, (number, 1, 1))
    time = np.arange(LENGTH)[None, :, None]
    x = np.sin(2 * np.pi * (0.05 + 0.12 * labels[:, None, None]) * time + phase)
    return (x + 0.3 * generator.standard_normal((number, LENGTH, CHANNELS))).astype(np.float32), labels


def student(seed: int = 0) -> nn.Module:
    return build("mobilenet1d", LENGTH, CHANNELS, CLASSES, seed=seed, stem_stride=1, widths=[8])


def accuracy(model: nn.Module, seed: int = 99) -> float:
    x, y = tones(300, seed)
    return float((predict(model, x).argmax(axis=1) == y).mean())


@pytest.fixture(scope="module")
def teacher() -> nn.Module:
    model = build("resnet1d", LENGTH, CHANNELS, CLASSES, stem=8, widths=[12], stem_stride=1)
    train_supervised(model, *tones(300, 0), TRAIN, seed=0)
    return model


def test_a_teacher_learns_from_labels_and_ends_in_eval_mode(teacher: nn.Module) -> None:
    assert not teacher.training
    assert accuracy(teacher) > 0.95


def test_a_student_learns_from_the_teacher_alone(teacher: nn.Module) -> None:
    x, _ = tones(300, 1)
    net = student()
    assert accuracy(net) < 0.7
    result = distil(net, x, predict(teacher, x), None, DISTILL, seed=0)
    assert not net.training
    assert accuracy(net) > 0.9
    assert result.losses.keys() == {"soft"}
    assert result.losses["soft"] > 0
    assert result.windows == DISTILL.steps * DISTILL.batch
    assert result.steps == DISTILL.steps
    assert result.seconds > 0
    assert result.cpu_seconds > 0


def test_labels_alone_teach_too() -> None:
    x, y = tones(300, 1)
    settings = DistillSettings(steps=80, batch=32, rate=2e-2, alpha=0.0, beta=1.0)
    net = student()
    distil(net, x, np.zeros((300, CLASSES), np.float32), y, settings, seed=0)
    assert accuracy(net) > 0.9


def test_rows_without_a_label_teach_nothing() -> None:
    x, y = tones(200, 1)
    lies = np.concatenate([y, np.full(200, -1)])
    more = np.concatenate([x, tones(200, 2)[0] * 50])
    with_noise, without = student(), student()
    train_supervised(with_noise, more, lies, TRAIN, seed=0)
    train_supervised(without, x, y, TRAIN, seed=0)
    np.testing.assert_equal(named_weights(with_noise), named_weights(without))


@pytest.mark.parametrize("training", [True, False])
def test_predictions_are_those_of_eval_mode_whatever_the_mode(training: bool) -> None:
    model = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(4), nn.Dropout(0.9), nn.Linear(4, 2))
    x = np.random.default_rng(0).normal(3, 2, (50, 2, 2)).astype(np.float32)
    model.eval()
    with torch.no_grad():
        expected = model(torch.from_numpy(x)).numpy()
    model.train(training)
    before = named_weights(model)
    np.testing.assert_allclose(predict(model, x, batch=16), expected, rtol=1e-5, atol=1e-6)
    assert model.training is training
    np.testing.assert_equal(named_weights(model), before)  # no running statistic moved


def test_predictions_of_no_windows() -> None:
    assert predict(student(), np.zeros((0, LENGTH, CHANNELS), np.float32)).shape == (0, CLASSES)


def test_the_same_seed_gives_the_same_weights_to_the_byte(teacher: nn.Module) -> None:
    x, y = tones(200, 1)
    logits = predict(teacher, x)
    results = []
    for seed in (7, 7, 8):
        net = student()
        distil(net, x, logits, y, DISTILL, seed)
        results.append(b"".join(tensor.tobytes() for tensor in named_weights(net).values()))
    assert results[0] == results[1]
    assert results[0] != results[2]


def test_rows_of_no_weight_are_never_drawn(teacher: nn.Module) -> None:
    x, _ = tones(200, 1)
    logits = predict(teacher, x)
    logits[100:] = np.nan
    net = student()
    distil(net, x, logits, None, DISTILL, seed=0, weights=np.repeat([1.0, 0.0], 100))
    assert accuracy(net) > 0.8


def test_a_teacher_draws_by_weight_among_the_rows_that_have_labels() -> None:
    x, y = tones(600, 1)
    kind = np.arange(600) % 3  # to be drawn; without a label; of no weight
    x[kind > 0] = np.nan
    y[kind == 1] = -1
    net = student()
    train_supervised(net, x, y, TRAIN, seed=0, weights=np.where(kind == 2, 0.0, 1.0))
    assert accuracy(net) > 0.8


def test_a_row_of_more_weight_is_drawn_more_often() -> None:
    x = np.zeros((200, LENGTH, CHANNELS), np.float32)  # nothing but the share of a class to learn
    y = np.arange(200) % 2
    net = student()
    train_supervised(net, x, y, TRAIN, seed=0, weights=np.where(y == 0, 0.9, 0.1))
    assert predict(net, x[:1]).argmax() == 0


def test_every_row_is_drawn_before_any_is_drawn_again() -> None:
    seen: list[int] = []

    class Watching(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            seen.extend(x[:, 0, 0].int().tolist())
            return super().forward(x.flatten(1))

    x = np.arange(12, dtype=np.float32).reshape(12, 1, 1)
    settings = DistillSettings(steps=6, batch=4)
    distil(Watching(1, 2), x, np.zeros((12, 2), np.float32), None, settings, seed=0)
    assert sorted(seen[:12]) == sorted(seen[12:]) == list(range(12))
    assert seen[:12] != seen[12:]


def test_a_full_pull_starts_at_the_anchor(teacher: nn.Module) -> None:
    x, _ = tones(100, 1)
    logits = predict(teacher, x)
    settings = DistillSettings(steps=1, rate=1e-12, pull=1.0, ema=0.0)
    anchor, net = student(1), student(2)
    distil(net, x, logits, None, settings, seed=0, anchor=dict(anchor.named_parameters()))
    for ours, wanted in zip(net.parameters(), anchor.parameters(), strict=True):
        torch.testing.assert_close(ours, wanted)


def test_the_average_ends_nearer_to_the_start(teacher: nn.Module) -> None:
    x, _ = tones(100, 1)
    logits = predict(teacher, x)
    moved = []
    for ema in (0.0, 0.99):
        net = student()
        start = torch.cat([weight.detach().clone().flatten() for weight in net.parameters()])
        settings = DistillSettings(steps=20, rate=1e-2, schedule="constant", ema=ema)
        distil(net, x, logits, None, settings, seed=0)
        end = torch.cat([weight.detach().flatten() for weight in net.parameters()])
        moved.append((end - start).norm().item())
    assert 0 < moved[1] < moved[0]


def test_the_last_step_is_kept_beside_the_average(teacher: nn.Module) -> None:
    x, _ = tones(100, 1)
    logits = predict(teacher, x)
    plain, averaged = student(), student()
    settings = DistillSettings(steps=20, rate=1e-2, ema=0.0)
    assert distil(plain, x, logits, None, settings, seed=0).last is None
    last = distil(averaged, x, logits, None, msgspec.structs.replace(settings, ema=0.9), seed=0).last
    assert last is not None
    assert last.keys() == dict(plain.named_parameters()).keys()
    for name, weight in plain.named_parameters():
        torch.testing.assert_close(last[name], weight.detach())
    assert any(not torch.equal(last[name], weight) for name, weight in averaged.named_parameters())


def test_progress_is_told_step_by_step(teacher: nn.Module) -> None:
    x, _ = tones(50, 1)
    told: list[tuple[int, int, Parts]] = []
    trained = distil(
        student(),
        x,
        predict(teacher, x),
        None,
        DISTILL,
        0,
        steps=5,
        progress=lambda *step: told.append(step),
    )
    assert [step[:2] for step in told] == [(1, 5), (2, 5), (3, 5), (4, 5), (5, 5)]
    assert float(told[-1][2]["soft"]) == pytest.approx(trained.losses["soft"])


def test_nothing_to_learn_from_is_said() -> None:
    x, _ = tones(10, 1)
    with pytest.raises(ModelError, match="no labelled window"):
        train_supervised(student(), x, np.full(10, -1), TRAIN, seed=0)
    with pytest.raises(ModelError, match="sample is empty"):
        distil(student(), x[:0], np.zeros((0, CLASSES), np.float32), None, DISTILL, seed=0)


def test_a_loss_that_is_no_number_is_said() -> None:
    x, y = tones(50, 1)
    x[:, 0, 0] = np.inf
    with pytest.raises(ModelError, match="extreme values"):
        train_supervised(student(), x, y, TrainSettings(steps=3), seed=0)


class Kept:
    """A keeper in memory."""

    content: bytes | None = None

    def load(self) -> bytes | None:
        return self.content

    def save(self, content: bytes) -> None:
        self.content = content


class Crash(Exception):
    pass


@pytest.mark.parametrize("at", [1, 7, 30, 59])
@pytest.mark.parametrize("model", ["batch norm", "dropout"])
def test_a_training_that_was_cut_off_comes_to_the_same_weights(at: int, model: str) -> None:
    x, y = tones(200, 0)

    def fresh() -> nn.Module:
        if model == "batch norm":
            return student()
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Flatten(), nn.Linear(LENGTH * CHANNELS, 16), nn.Dropout(0.5), nn.Linear(16, CLASSES)
        )

    def crash(done: int, steps: int, _: Parts) -> None:
        assert steps == TRAIN.steps
        if done == at:
            raise Crash

    whole, kept = fresh(), Kept()
    expected = train_supervised(whole, x, y, TRAIN, 0)
    with pytest.raises(Crash):
        train_supervised(fresh(), x, y, TRAIN, 0, crash, checkpoints=Checkpoints(kept, 0))
    again, steps = fresh(), []
    found = train_supervised(
        again, x, y, TRAIN, 0, lambda done, *_: steps.append(done), checkpoints=Checkpoints(kept, 0)
    )
    assert steps[0] == at + 1
    for name, value in whole.state_dict().items():
        assert torch.equal(again.state_dict()[name], value)
    assert (found.losses, found.steps, found.windows) == (expected.losses, expected.steps, expected.windows)


def test_a_checkpoint_is_saved_no_more_often_than_asked_for() -> None:
    x, y = tones(100, 0)
    kept, now = Kept(), [0.0]
    checkpoints = Checkpoints(kept, 10.0, lambda: now[0])
    saved: list[int] = []

    def tick(done: int, *_: object) -> None:
        now[0] += 1
        if kept.content is not None:
            saved.append(done)
            kept.content = None

    train_supervised(student(), x, y, TRAIN, 0, tick, checkpoints=checkpoints)
    assert saved == [11, 21, 31, 41, 51]
