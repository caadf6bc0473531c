import numpy as np
import pytest
import torch
from torch import nn

from iot_stream.config.learning import DistillSettings, Hardware
from iot_stream.distill.engine import LARGE, Engine
from iot_stream.distill.trainer import distil, predict
from iot_stream.errors import ModelError

torch.set_num_threads(1)

SMALL, BIG = nn.Linear(4, 2), nn.Linear(100, LARGE // 100)
NO_CUDA = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")


@pytest.mark.parametrize("model", [SMALL, BIG])
def test_the_processor_and_float32_are_obeyed(model: nn.Module) -> None:
    engine = Engine.of(Hardware(device="cpu", precision="float32"), model)
    assert (engine.device.type, engine.bfloat16) == ("cpu", False)


def test_auto_leaves_small_networks_as_they_are() -> None:
    engine = Engine.of(Hardware(), SMALL)
    assert (engine.device.type, engine.bfloat16) == ("cpu", False)


@NO_CUDA
def test_auto_takes_bfloat16_for_large_ones_where_there_are_matrix_units(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for units in (True, False):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda units=units: {"amx_bf16": units})
        assert Engine.of(Hardware(), BIG).bfloat16 is units
        assert not Engine.of(Hardware(precision="float32"), BIG).bfloat16


@NO_CUDA
def test_cuda_where_there_is_none_is_refused_with_the_remedy() -> None:
    x = np.zeros((4, 1, 4), np.float32)
    net = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    for what in (
        lambda: distil(net, x, x[:, 0, :2], None, DistillSettings(device="cuda"), seed=0),
        lambda: predict(net, x, hardware=Hardware(device="cuda")),
    ):
        with pytest.raises(ModelError, match=r"device: cuda: .*`device: auto`"):
            what()


def learnt(precision: str) -> tuple[bytes, float]:
    """A student's weights after a few steps, and how often it is right."""
    x = np.random.default_rng(0).normal(size=(200, 4, 2)).astype(np.float32)
    logits = np.stack([x[:, :, 0].sum(axis=1), x[:, :, 1].sum(axis=1)], axis=1) * 3
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 2))
    settings = DistillSettings(steps=60, batch=32, rate=0.02, precision=precision)
    distil(net, x, logits, None, settings, seed=0)
    said = predict(net, x, hardware=settings)
    assert said.dtype == np.float32
    right = float((said.argmax(axis=1) == logits.argmax(axis=1)).mean())
    return b"".join(value.numpy().tobytes() for value in net.state_dict().values()), right


def test_bfloat16_learns_as_well_and_the_same_each_time() -> None:
    first, second, float32 = learnt("bfloat16"), learnt("bfloat16"), learnt("float32")
    assert first == second
    assert first[0] != float32[0]
    assert first[1] > 0.95
    assert float32[1] > 0.95


def test_chance_within_a_network_comes_from_the_seed_and_changes_nobody_elses() -> None:
    x = np.random.default_rng(0).normal(size=(40, 1, 4)).astype(np.float32)

    def trained(seed: int) -> bytes:
        torch.manual_seed(0)
        net = nn.Sequential(nn.Flatten(), nn.Linear(4, 8), nn.Dropout(0.5), nn.Linear(8, 2))
        torch.manual_seed(seed + 123)
        before = torch.random.get_rng_state()
        distil(net, x, x[:, 0, :2], None, DistillSettings(steps=5, batch=8), seed=7)
        assert torch.equal(torch.random.get_rng_state(), before)
        return b"".join(value.numpy().tobytes() for value in net.state_dict().values())

    assert trained(1) == trained(2)
