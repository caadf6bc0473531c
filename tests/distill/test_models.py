import pytest
import torch

from iot_stream.distill.models import architectures, build, options, parameters
from iot_stream.errors import ModelError

ALL = ["mlp", "mobilenet1d", "resnet1d"]
VISION = ["mobilenet_v2", "resnet18"]  # test_vision.py tries these


def test_listing() -> None:
    assert architectures() == sorted(ALL + VISION)
    assert options("mlp") == {"hidden": (16,), "activation": "tanh"}


@pytest.mark.parametrize("arch", ALL)
@pytest.mark.parametrize(("length", "channels", "classes"), [(256, 2, 4), (32, 10, 2), (1, 3, 5)])
def test_every_architecture_maps_windows_to_logits(
    arch: str, length: int, channels: int, classes: int
) -> None:
    model = build(arch, length, channels, classes, seed=1).eval()
    logits = model(torch.randn(7, length, channels))
    assert logits.shape == (7, classes)
    assert torch.isfinite(logits).all()


@pytest.mark.parametrize("arch", ALL)
def test_a_window_is_judged_by_itself(arch: str) -> None:
    model = build(arch, 64, 2, 3).eval()
    x = torch.randn(5, 64, 2, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(model(x)[2:3], model(x[2:3]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("arch", ALL)
def test_the_order_of_readings_matters(arch: str) -> None:
    model = build(arch, 64, 2, 3).eval()
    x = torch.randn(1, 64, 2, generator=torch.Generator().manual_seed(0))
    assert not torch.allclose(model(x), model(x.flip(1)), atol=1e-4)


@pytest.mark.parametrize("arch", ALL)
def test_the_seed_decides_the_weights_and_leaves_the_global_one_alone(arch: str) -> None:
    before = torch.random.get_rng_state()
    one, same, other = (build(arch, 64, 2, 3, seed=seed) for seed in (5, 5, 6))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), same.parameters(), strict=True))
    assert any(not torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def test_sizes_of_students_and_teacher() -> None:
    assert parameters(build("mobilenet1d", 256, 2, 4, stem=4, stem_kernel=9, widths=[6], kernel=5)) <= 300
    assert parameters(build("mobilenet1d", 256, 2, 4)) == 1180
    assert parameters(build("mobilenet1d", 256, 2, 4, stem=12, widths=[16, 24])) <= 2000
    assert parameters(build("mlp", 1, 10, 2)) == 10 * 16 + 16 + 16 * 2 + 2
    assert parameters(build("resnet1d", 256, 2, 4)) > 30_000


def test_mlp_options() -> None:
    model = build("mlp", 1, 3, 2, hidden=[8, 4], activation="relu")
    assert [type(layer).__name__ for layer in model.layers] == [
        "Flatten",
        "Linear",
        "ReLU",
        "Linear",
        "ReLU",
        "Linear",
    ]


@pytest.mark.parametrize(
    ("arch", "chosen", "message"),
    [
        ("mobilnet1d", {}, "is mobilenet1d meant"),
        ("mobilenet1d", {"width": [3]}, "is widths meant"),
        ("mlp", {"activation": "gelu"}, "relu, tanh"),
        ("resnet1d", {"kernel": "wide"}, "resnet1d cannot be built"),
        ("mlp", {"hidden": [-1]}, "mlp cannot be built"),
    ],
)
def test_what_cannot_be_built_is_named(arch: str, chosen: dict[str, object], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        build(arch, 64, 2, 3, **chosen)
