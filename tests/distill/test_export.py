import io

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx.reference import ReferenceEvaluator
from torch import nn

from iot_stream.distill.export import fold, graph, load_weights, named_weights
from iot_stream.distill.models import architectures, build
from iot_stream.distill.trainer import predict
from iot_stream.errors import ModelError

LENGTH, CHANNELS, CLASSES = 64, 2, 3
SMALL: dict[str, dict[str, object]] = {
    "mlp": {"hidden": [5]},
    "mobilenet1d": {"stem": 4, "widths": [6]},
    "resnet1d": {"stem": 4, "widths": [6]},
}


def windows(number: int = 9, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((number, LENGTH, CHANNELS)).astype(np.float32)


def used(arch: str, seed: int = 0) -> nn.Module:
    """A model whose batch norm has seen data and is scaled, as after training."""
    model = build(arch, LENGTH, CHANNELS, CLASSES, seed=seed, **SMALL[arch])
    generator = torch.Generator().manual_seed(seed)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d):
            nn.init.uniform_(module.weight, 0.5, 2.0, generator=generator)
            nn.init.normal_(module.bias, generator=generator)
    model.train()
    model(3 * torch.from_numpy(windows(40, seed)) + 1)
    return model.eval()


def test_all_architectures_are_tried_here_or_in_test_vision() -> None:
    assert sorted([*SMALL, "mobilenet_v2", "resnet18"]) == architectures()


@pytest.mark.parametrize("arch", sorted(SMALL))
def test_fold_changes_no_output_and_leaves_the_model_alone(arch: str) -> None:
    model = used(arch)
    before = named_weights(model)
    folded = fold(model)
    assert not any(isinstance(module, nn.BatchNorm1d) for module in folded.modules())
    assert not folded.training
    np.testing.assert_allclose(predict(folded, windows()), predict(model, windows()), rtol=1e-4, atol=1e-5)
    np.testing.assert_equal(named_weights(model), before)


def test_fold_two_dimensional_and_linear_layers() -> None:
    model = nn.Sequential(
        nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(12, 4), nn.BatchNorm1d(4)
    )
    x = torch.randn(20, 1, 4, 4)
    model.train()
    model(2 * x + 1)
    model.eval()
    torch.testing.assert_close(fold(model)(x), model(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("layers", [[nn.BatchNorm1d(2)], [nn.ReLU(), nn.BatchNorm1d(2)]])
def test_fold_refuses_what_it_cannot_fold(layers: list[nn.Module]) -> None:
    with pytest.raises(ModelError, match="cannot fold batch norm"):
        fold(nn.Sequential(*layers))


@pytest.mark.parametrize("arch", sorted(SMALL))
@pytest.mark.parametrize("folded", [True, False])
def test_named_weights_carry_the_whole_model(arch: str, folded: bool) -> None:
    source, other = used(arch, 1), used(arch, 2)
    source, other = (fold(source), fold(other)) if folded else (source, other)
    assert not np.allclose(predict(source, windows()), predict(other, windows()))
    load_weights(other, named_weights(source))
    np.testing.assert_array_equal(predict(other, windows()), predict(source, windows()))


def test_named_weights_are_copies() -> None:
    model = used("mlp")
    weights = named_weights(model)
    for weight in weights.values():
        weight += 1
    assert not np.array_equal(named_weights(model)["layers.1.weight"], weights["layers.1.weight"])


@given(st.sampled_from(["dropped", "added", "reshaped"]), st.integers(0, 3))
@settings(max_examples=20)
def test_weights_that_do_not_fit_change_nothing(fault: str, position: int) -> None:
    model = fold(used("mlp", 1))
    before = named_weights(model)
    weights = named_weights(fold(used("mlp", 2)))
    name = list(weights)[position % len(weights)]
    if fault == "dropped":
        del weights[name]
    elif fault == "added":
        weights[f"{name}.more"] = weights[name]
    else:
        weights[name] = weights[name][..., None]
    with pytest.raises(ModelError, match=name):
        load_weights(model, weights)
    np.testing.assert_equal(named_weights(model), before)


@pytest.fixture(scope="module", params=sorted(SMALL))
def exported(request: pytest.FixtureRequest) -> tuple[nn.Module, bytes]:
    folded = fold(used(request.param))
    return folded, graph(folded, LENGTH, CHANNELS)


def test_graph_agrees_with_torch_in_the_reference_evaluator(exported: tuple[nn.Module, bytes]) -> None:
    model, content = exported
    evaluator = ReferenceEvaluator(onnx.load(io.BytesIO(content)))
    for number in (1, 5):
        x = windows(number, seed=number)
        (logits,) = evaluator.run(["logits"], {"x": x, **named_weights(model)})
        np.testing.assert_allclose(logits, predict(model, x), rtol=1e-4, atol=1e-5)


def test_graph_carries_no_weights_and_tells_nothing_of_where_it_was_made(
    exported: tuple[nn.Module, bytes],
) -> None:
    model, content = exported
    proto = onnx.load(io.BytesIO(content))
    onnx.checker.check_model(proto, full_check=True)
    assert [each.name for each in proto.graph.input] == ["x", *named_weights(model)]
    assert all(each.data_type == onnx.TensorProto.INT64 for each in proto.graph.initializer)
    assert len(content) < 6_000
    for word in (b".py", b"torch.nn", b"site-packages", b"stack"):
        assert word not in content


def test_graph_is_the_same_for_other_weights_and_says_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    one, two = (graph(fold(used("mlp", seed)), LENGTH, CHANNELS) for seed in (1, 2))
    assert one == two
    assert capfd.readouterr() == ("", "")


def test_graph_wants_a_folded_model() -> None:
    with pytest.raises(ModelError, match="fold"):
        graph(used("mobilenet1d"), LENGTH, CHANNELS)
