"""Teachers and students from elsewhere: ONNX files, factories, topics; what is wrong with one is said."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper
from torch import nn

from iot_stream.config import Network, TopicTeacher
from iot_stream.config.learning import DistillSettings, TrainSettings
from iot_stream.cut import Cut
from iot_stream.distill import teachers
from iot_stream.distill.material import Material
from iot_stream.distill.student import Architecture
from iot_stream.distill.teachers import Lessons, Teacher
from iot_stream.distill.teachers.topic import probabilities
from iot_stream.errors import ModelError, TeacherAway
from iot_stream.spec import Spec

torch.set_num_threads(1)

CUT = Cut(("x", "y"), ("x", "y"), length=3, hop=1)
CLASSES = ("a", "b", "c")
NOTHING = Lessons(np.zeros((0, 3, 2), np.float32), np.zeros(0, np.int64))
RNG = np.random.default_rng(0)
X = RNG.standard_normal((20, 3, 2)).astype(np.float32)
W = RNG.standard_normal((6, 3)).astype(np.float32)

MODULE = """
import numpy as np, torch
from torch import nn

def half(length, channels, classes, seed, *, width=4, said=None):
    class Half(nn.Module):
        def __init__(self):
            super().__init__()
            self.frozen = nn.Linear(length * channels, width).requires_grad_(False)
            self.head = nn.Linear(width, classes)
        def forward(self, x):
            return self.head(torch.relu(self.frozen(x.flatten(1))))
    return Half()

def first(length, channels, classes, seed):
    return lambda x: np.stack([x[:, 0, 0], x[:, 0, 1], 0 * x[:, 0, 0]], axis=1)

def fails(length, channels, classes, seed, *, how):
    def speak(x):
        raise how_of[how]("as told")
    how_of = {"away": ConnectionError, "bug": KeyError}
    return speak

def flat(length, channels, classes, seed):
    return lambda x: x[:, 0]

def sure(length, channels, classes, seed):
    return lambda x: np.eye(classes)[np.zeros(len(x), int)]

def nothing(length, channels, classes, seed):
    return None

def raising(length, channels, classes, seed):
    raise RuntimeError("no weights here")

def narrow(length, channels, classes, seed):
    return nn.Sequential(nn.Flatten(), nn.Linear(length * channels, classes - 1))

def looks(length, channels, classes, seed):
    class Looks(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(length * channels, classes)
        def forward(self, x):
            if float(x.sum()) > 0:
                return self.layer(x.flatten(1))
            return -self.layer(x.flatten(1))
    return Looks()

def buffered(length, channels, classes, seed, *, kept=True):
    class Buffered(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(length * channels, classes)
            self.register_buffer("shift", torch.ones(classes), persistent=kept)
        def forward(self, x):
            return self.layer(x.flatten(1)) + self.shift
    return Buffered()
"""


@pytest.fixture(scope="module", autouse=True)
def module(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    folder = tmp_path_factory.mktemp("mine")
    (folder / "foreign_ones.py").write_text(MODULE)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        yield


def factory(name: str, **options: object) -> Network:
    return Network.parse({"factory": f"foreign_ones:{name}", **options})


def ready(network: Network, classes: tuple[str, ...] = CLASSES) -> Teacher:
    return teachers.train("key", NOTHING, CUT, classes, False, network, TrainSettings(steps=20), 0)[0]


def onnx_file(path: Path, shape: list[object], *, outputs: int = 1, batch_norm: bool = False) -> Network:
    """logits = windows in one row · W."""
    nodes = [
        helper.make_node("Flatten", ["in"], ["flat"], axis=1),
        helper.make_node("MatMul", ["flat", "w"], ["logits"]),
    ]
    told = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [None, 3])]
    if outputs == 2:
        nodes.append(helper.make_node("Softmax", ["logits"], ["p"]))
        told.append(helper.make_tensor_value_info("p", TensorProto.FLOAT, [None, 3]))
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("in", TensorProto.FLOAT, shape)],
        told,
        [onnx.numpy_helper.from_array(W, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    path.write_bytes(model.SerializeToString())
    return Network.parse({"onnx": str(path)})


def with_options(network: Network, **options: object) -> Network:
    return Network.parse(dict(network.options) | options)


# --- an ONNX file -----------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [["n", 3, 2], ["n", 6], [1, 3, 2], [8, 6]])
def test_an_onnx_file_says_what_it_computes(tmp_path: Path, shape: list[object]) -> None:
    teacher = ready(onnx_file(tmp_path / "t.onnx", shape))
    np.testing.assert_allclose(teacher.logits(X), X.reshape(20, 6) @ W, rtol=1e-5)


def test_channels_first_and_classes_in_another_order(tmp_path: Path) -> None:
    network = onnx_file(tmp_path / "t.onnx", ["n", 2, 3])
    expected = X.transpose(0, 2, 1).reshape(20, 6) @ W
    np.testing.assert_allclose(ready(network).logits(X), expected, rtol=1e-5)
    turned = ready(with_options(network, classes=["c", "a", "b"]))
    np.testing.assert_allclose(turned.logits(X), expected[:, [1, 2, 0]], rtol=1e-5)


def test_probabilities_are_told_from_logits(tmp_path: Path) -> None:
    network = onnx_file(tmp_path / "t.onnx", ["n", 6], outputs=2)
    with pytest.raises(ModelError, match=r"say `output`, one of .* it has logits: .* p: "):
        ready(network)
    with pytest.raises(ModelError, match="rows sum to one; say `gives: probabilities`"):
        ready(with_options(network, output="p")).logits(X)
    said = ready(with_options(network, output="p", gives="probabilities")).logits(X)
    raised = np.exp(X.reshape(20, 6) @ W)
    np.testing.assert_allclose(np.exp(said), raised / raised.sum(axis=1, keepdims=True), rtol=1e-4, atol=2e-6)
    with pytest.raises(ModelError, match="rows do not sum to one"):
        ready(with_options(network, output="logits", gives="probabilities")).logits(X)


def test_an_onnx_teacher_of_a_missing_value_has_no_word(tmp_path: Path) -> None:
    x = X.copy()
    x[3, 1, 1] = np.nan
    said = ready(onnx_file(tmp_path / "t.onnx", ["n", 3, 2])).logits(x)
    assert np.isnan(said[3]).all()
    assert np.isfinite(np.delete(said, 3, axis=0)).all()


@pytest.mark.parametrize(
    ("shape", "options", "says"),
    [
        (["n", 6, 1], {}, r"takes \['n', 6, 1\]; windows are \(n, 3, 2\)"),
        (["n", "a", "b"], {}, "say `layout: windows` or `layout: channels_first`"),
        (["n", 6], {"layout": "rows"}, "layout: 'rows' is none of"),
        (["n", 6], {"gives": "odds"}, "gives: 'odds' is neither"),
        (["n", 6], {"classes": ["a", "b"]}, r"classes: \['a', 'b'\] are not a, b, c"),
        (["n", 6], {"output": "q"}, "say `output`"),
        (["n", 6], {"batch": 3}, "no option 'batch'; there are layout"),
    ],
)
def test_what_is_wrong_with_an_onnx_file_is_said(
    tmp_path: Path, shape: list[object], options: dict[str, object], says: str
) -> None:
    network = onnx_file(tmp_path / "t.onnx", shape)
    with pytest.raises(ModelError, match=says):
        ready(with_options(network, **options))


def test_what_is_no_onnx_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "t.onnx").write_text("not a model")
    with pytest.raises(ModelError, match=r"t\.onnx: no ONNX file"):
        ready(Network.parse({"onnx": str(tmp_path / "t.onnx")}))


def test_other_bytes_are_another_teacher(tmp_path: Path) -> None:
    def key() -> str:
        return teachers.key_of(X, np.zeros(20, np.int64), CUT, network, TrainSettings(), 0)

    network = onnx_file(tmp_path / "t.onnx", ["n", 6])
    before = key()
    assert key() == before
    onnx_file(tmp_path / "t.onnx", ["n", 3, 2])
    assert key() != before
    (tmp_path / "t.onnx").unlink()
    with pytest.raises(ModelError, match=r"teacher\.onnx: .*t\.onnx: No such file"):
        key()


def test_an_onnx_file_is_a_member_among_others(tmp_path: Path) -> None:
    network = onnx_file(tmp_path / "t.onnx", ["n", 6])
    both = Network.parse({"arch": "ensemble", "members": [dict(network.options), {"arch": "lda"}]})
    lessons = Lessons(X, np.arange(20) % 3)
    teacher, _ = teachers.train("key", lessons, CUT, CLASSES, False, both, TrainSettings(), 0)
    again = teachers.from_bytes("key", teacher.to_bytes(), teacher.spec, both)
    np.testing.assert_array_equal(teacher.logits(X), again.logits(X))
    assert teachers.ready(network)
    assert not teachers.ready(both)


# --- factories of teachers --------------------------------------------------------------------------


def test_a_module_is_trained_and_what_is_frozen_stays() -> None:
    lessons = Lessons(X, np.arange(20) % 3)
    network = factory("half", width=5)
    teacher, cost = teachers.train("key", lessons, CUT, CLASSES, False, network, TrainSettings(steps=20), 3)
    assert cost.steps == 20
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        fresh = nn.Linear(6, 5)
    state = teacher.members[0].state()
    np.testing.assert_array_equal(state["frozen.weight"], fresh.weight.detach().numpy())
    again = teachers.from_bytes("key", teacher.to_bytes(), teacher.spec, network)
    np.testing.assert_array_equal(teacher.logits(X), again.logits(X))
    with pytest.raises(ModelError, match="no labelled window of a, b, c"):
        ready(network)


def test_a_function_is_taken_as_it_is_and_sees_raw_windows() -> None:
    x = X.copy() * 100
    x[4, 0, 1] = np.nan
    teacher = ready(factory("first"))
    said = teacher.logits(x)
    assert np.isnan(said[4]).all()
    np.testing.assert_array_equal(np.delete(said, 4, axis=0)[:, :2], np.delete(x, 4, axis=0)[:, 0])
    tuned, _ = teachers.tune(teacher, Lessons(X, np.arange(20) % 3), NOTHING, TrainSettings(), 0)
    assert tuned is teacher
    again = teachers.from_bytes("key", teacher.to_bytes(), teacher.spec, factory("first"))
    np.testing.assert_array_equal(said, again.logits(x))


@pytest.mark.parametrize(
    ("network", "error", "says"),
    [
        (factory("fails", how="away"), TeacherAway, "ConnectionError: as told"),
        (factory("fails", how="bug"), ModelError, "KeyError: 'as told'"),
        (factory("flat"), ModelError, r"20 windows gave float32 \(20, 2\), not \(20, 3\) numbers"),
        (factory("sure"), ModelError, "say `gives: probabilities`"),
        (factory("nothing"), ModelError, "gave a NoneType, neither"),
        (factory("raising"), ModelError, "RuntimeError: no weights here"),
        (factory("first", widht=3), ModelError, "TypeError: .*unexpected keyword argument 'widht'"),
        (factory("half", gives="logits"), ModelError, "`gives` and `classes` are for functions"),
        (factory("nobody"), ModelError, "AttributeError: .*nobody"),
        (Network.parse({"factory": "no_such_module:build"}), ModelError, "ModuleNotFoundError"),
    ],
)
def test_what_is_wrong_with_a_factory_is_said(network: Network, error: type[ModelError], says: str) -> None:
    with pytest.raises(error, match=says):
        ready(network).logits(X)


# --- students of factories --------------------------------------------------------------------------

SPEC = Spec(CUT, CLASSES, (0.0, 0.0), (1.0, 1.0), golden=X[:2].tobytes())


def test_a_student_of_a_factory_is_distilled_exported_and_run() -> None:
    architecture = Architecture.of(factory("half", width=6), SPEC, 0)
    none = np.zeros(20, np.int64)
    material = Material(np.full(20, "d"), none, none, X, (X.reshape(20, 6) @ W), none - 1)
    student, _ = architecture.first(material, DistillSettings(first_steps=200), 0)
    packed = architecture.pack(student)
    model = packed.model()
    model.self_test()
    assert (model.logits(X).argmax(axis=1) == material.said).mean() > 0.7
    assert architecture.parameters == 6 * 6 + 6 + 6 * 3 + 3
    assert architecture.pack(architecture.resumed(packed.resume)) == packed


def test_a_buffer_that_no_update_carries_is_refused_and_a_constant_taken() -> None:
    with pytest.raises(ModelError, match="shift is a buffer, which no update could carry"):
        Architecture.of(factory("buffered"), SPEC, 0)
    architecture = Architecture.of(factory("buffered", kept=False), SPEC, 0)
    architecture.pack(architecture.resumed(_weights(architecture))).model().self_test()


def _weights(architecture: Architecture) -> bytes:
    none = np.zeros(20, np.int64)
    material = Material(np.full(20, "d"), none, none, X, (X.reshape(20, 6) @ W), none - 1)
    student, _ = architecture.first(material, DistillSettings(first_steps=2), 0)
    return architecture.pack(student).resume


@pytest.mark.parametrize(
    ("network", "says"),
    [
        (factory("narrow"), r"fed with 2 windows it gives shape \(2, 2\), not \(2, 3\)"),
        (factory("first"), "gave a function; a torch.nn.Module is needed here"),
        (factory("looks"), "this student cannot be exported to ONNX"),
        (factory("raising"), "RuntimeError: no weights here"),
    ],
)
def test_what_is_wrong_with_a_student_is_said(network: Network, says: str) -> None:
    with pytest.raises(ModelError, match=says):
        Architecture.of(network, SPEC, 0)


# --- a topic ----------------------------------------------------------------------------------------


def word(**settings: object) -> TopicTeacher:
    return Network.parse({"topic": "t/{device}", **settings}).topic  # type: ignore[return-value]


def test_a_word_is_a_class_and_anything_else_is_none() -> None:
    said = np.array([[0], [2], [3], [-1], [0.5], [np.nan]], np.float32)
    found = probabilities(said, word(value="$.v"), CLASSES)
    np.testing.assert_array_equal(found[:2], [[1, 0, 0], [0, 0, 1]])
    assert np.isnan(found[2:]).all()


def test_the_probability_of_one_class_is_that_of_the_other() -> None:
    said = np.array([[0.25], [1], [1.5], [np.nan]], np.float32)
    found = probabilities(said, word(probability="$.p", of="b"), ("b", "c"))
    np.testing.assert_array_equal(found[:2], [[0.25, 0.75], [1, 0]])
    assert np.isnan(found[2:]).all()


@given(st.lists(st.floats(0, 100), min_size=3, max_size=3))
def test_probabilities_are_shares_of_their_sum_by_name(said: list[float]) -> None:
    told = word(probabilities={"c": "$.c", "a": "$.a", "b": "$.b"})
    (found,) = probabilities(np.array([said], np.float32), told, CLASSES)
    whole = float(np.float32(said).astype(np.float64).sum())
    if whole > 0:
        np.testing.assert_allclose(found[[2, 0, 1]], np.float32(said).astype(np.float64) / whole)
    else:
        assert np.isnan(found).all()


def test_a_topic_speaks_by_what_was_said_last_in_a_window() -> None:
    cut = Cut(("x", "teacher"), ("teacher",), length=2, hop=1, holds=word(value="$").holds)
    network = Network.parse({"topic": "t/{device}", "value": "$"})
    nothing = Lessons(np.zeros((0, 2, 1), np.float32), NOTHING.y)
    teacher, _ = teachers.train("key", nothing, cut, CLASSES, False, network, TrainSettings(), 0)
    x = np.array([[[0], [1]], [[1], [np.nan]], [[np.nan], [2]]], np.float32)
    said = teacher.logits(x)
    np.testing.assert_array_equal(said[[0, 2]].argmax(axis=1), [1, 2])
    assert np.isnan(said[1]).all()
