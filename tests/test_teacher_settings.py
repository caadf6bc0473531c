"""What a teacher from elsewhere is in a configuration: source, words, channels; errors by line."""

from pathlib import Path

import numpy as np
import pytest
import yaml

from iot_stream.config import Pipeline, load
from iot_stream.errors import ConfigError, DataError
from iot_stream.formats import Heard, decoder
from iot_stream.units import Duration

NS = 10**9
BASE = {
    "sources": [{"topic": "z/{device}", "format": "json", "channels": {"t": "$.t", "h": "$.h"}}],
    "window": {"length": 2, "required": ["t"]},
    "derive": {"lt": "log(t)"},
    "task": {"classify": ["empty", "present"]},
    "student": {"arch": "mlp"},
}


def pipeline(folder: Path, teacher: dict[object, object], **changes: object) -> Pipeline:
    path = folder / "config.yml"
    block = BASE | {"teacher": teacher} | changes
    path.write_text(yaml.safe_dump({"pipelines": {"p": block}}, sort_keys=False))
    return load(path).pipelines["p"]


def topic(folder: Path, **settings: object) -> Pipeline:
    return pipeline(folder, {"topic": "cam/{device}", "value": "$.v"} | settings)


def said(settings: Pipeline, payload: bytes, device: str = "d") -> list[tuple[str, list[float]]]:
    blocks = decoder(settings.sources[-1], 1).decode(Heard(payload, 5, {"device": device}))
    return [(block.device, block.values[0].tolist()) for block in blocks]


def test_a_topic_is_a_source_more_that_the_student_does_not_see(tmp_path: Path) -> None:
    found = topic(tmp_path, hold="10 min")
    assert found.cut(found.student).inputs == ("t", "h")
    assert found.sources_of(found.cut(found.student)) == (0,)
    teacher = found.cut(found.teacher)
    assert (teacher.channels, teacher.inputs) == (("t", "h", "teacher"), ("teacher",))
    assert (teacher.length, teacher.hop, teacher.required) == (2, 2, ("t",))
    assert teacher.states[0].longest == 600 * NS
    assert found.sources_of(teacher) == (0, 1)
    assert found.cuts == {teacher: 60 * NS, found.cut(found.student): 5 * NS}


def test_its_words_are_waited_for_as_long_as_is_said(tmp_path: Path) -> None:
    found = pipeline(tmp_path, {"topic": "cam/{device}", "value": "$.v"}, teacher_wait="3 days")
    assert found.cuts[found.cut(found.teacher)] == Duration.parse("3 days")


@pytest.mark.parametrize(
    ("payload", "index"),
    [(b"true", 1), (b"false", 0), (b'"present"', 1), (b'"empty"', 0), (b'"ON"', 1), (b'"off"', 0), (b"1", 1)],
)
def test_a_class_is_a_name_an_index_or_a_state(tmp_path: Path, payload: bytes, index: int) -> None:
    assert said(topic(tmp_path), b'{"v": %s}' % payload) == [("d", [index])]


@pytest.mark.parametrize(
    ("payload", "index"),
    [
        (b'"ON"', 0),
        (b"true", 0),
        (b'"clear"', 1),
        (b"false", 1),
        (b"7", 1),
        (b'"many"', 1),
        (b'"present"', 1),
    ],
)
def test_words_mean_what_the_settings_say(tmp_path: Path, payload: bytes, index: int) -> None:
    """YAML reads `on` as true: it stands for all words of that state."""
    words = {True: "empty", False: "present", 7: "present", "many": "present"}
    assert said(topic(tmp_path, values=words), b'{"v": %s}' % payload) == [("d", [index])]


def test_a_word_that_means_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="'perhaps' is none of empty, present, and no number; see `values`"):
        said(topic(tmp_path), b'{"v": "perhaps"}')


def test_a_camera_teaches_the_devices_of_its_room_and_no_others(tmp_path: Path) -> None:
    found = topic(tmp_path, devices={"cam_1": ["a", "b"], "cam_2": "c"})
    assert said(found, b'{"v": 1}', "cam_1") == [("a", [1]), ("b", [1])]
    assert said(found, b'{"v": 1}', "cam_2") == [("c", [1])]
    assert said(found, b'{"v": 1}', "a") == []


@pytest.mark.parametrize("sensor", ["living room/climate", "living room%2Fclimate"])
@pytest.mark.parametrize("camera", ["living room/camera", "living room%2Fcamera"])
def test_names_may_be_written_with_their_slash_or_without(tmp_path: Path, camera: str, sensor: str) -> None:
    found = topic(tmp_path, topic="cam/{device...}", devices={camera: sensor})
    assert said(found, b'{"v": 1}', "living room/camera") == [("living room%2Fclimate", [1])]
    assert said(found, b'{"v": 1}', "living room/other") == []
    assert said(found, b'{"v": 1}', "n" * 200) == []


@pytest.mark.parametrize("name", ["hall/cam", "hall%2Fcam"])
def test_a_name_that_its_topic_can_never_have_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match=r"devices: 'hall/cam' is never heard on 'cam/\{device\}'"):
        topic(tmp_path, devices={name: "d"})


def test_a_student_of_another_pipeline_may_teach_under_its_name_in_topics(tmp_path: Path) -> None:
    own = {"topic": "iot/q/device/{device}/prediction", "value": "$.class", "devices": {"hall%2Fcam": "d"}}
    assert said(pipeline(tmp_path, own), b'{"class": "present"}', "hall%2Fcam") == [("d", [1])]


def test_one_name_in_two_spellings_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="twice, once with / and once with %2F"):
        topic(tmp_path, topic="cam/{device...}", devices={"a/b": "x", "a%2Fb": "y"})


def test_probabilities_have_a_channel_each(tmp_path: Path) -> None:
    found = pipeline(tmp_path, {"topic": "cam/{device}", "probabilities": {"present": "$.p", "empty": "$.q"}})
    assert found.cut(found.teacher).inputs == ("teacher_present", "teacher_empty")
    ((_, values),) = said(found, b'{"p": 0.75, "q": 0.25}')
    np.testing.assert_allclose(values, [0.75, 0.25])


def test_files_stand_beside_the_configuration_and_among_members_too(tmp_path: Path) -> None:
    alone = pipeline(tmp_path, {"onnx": "big.onnx", "channels": ["t"]})
    assert dict(alone.teacher.options)["onnx"] == str(tmp_path / "big.onnx")
    both = pipeline(tmp_path, {"arch": "ensemble", "members": [{"onnx": "big.onnx"}, {"arch": "lda"}]})
    assert dict(both.teacher.options)["members"][0] == {"onnx": str(tmp_path / "big.onnx")}
    assert alone.cut(alone.teacher).inputs == ("t",)


@pytest.mark.parametrize(
    ("teacher", "says"),
    [
        ({"topic": "cam/{device}"}, "teaches by one of `value`, `probability` and `probabilities`"),
        ({"topic": "cam/{device}", "value": "$.v", "probability": "$.p"}, "teaches by one of"),
        ({"topic": "cam/{device}", "probability": "$.p", "of": "presnt"}, "'presnt'; is present meant"),
        ({"topic": "cam/{device}", "value": "$.v", "values": {"x": "full"}}, "no class 'full'"),
        ({"topic": "cam/{device}", "probabilities": {"empty": "$.p"}}, "are needed for empty, present"),
        ({"topic": "cam/{device}", "valu": "$.v"}, "has no `valu`; is `value` meant"),
        ({"topic": "cam/hall", "value": "$.v"}, r"teacher.topic: 'cam/hall' must have one level \{device\}"),
        ({"topic": "cam/{device}", "value": "v"}, "not a path: 'v'"),
        ({"topic": "cam/{device}", "value": "$.v", "hold": "long"}, "not a duration: 'long'"),
        ({"topic": "cam/{device}", "arch": "mlp"}, "a model is "),
        ({"factory": "mine"}, "'mine' is no module:function"),
        ({"onnx": 3}, "a model is "),
    ],
)
def test_what_is_wrong_is_said_with_its_line(
    tmp_path: Path, teacher: dict[object, object], says: str
) -> None:
    with pytest.raises(ConfigError, match=says) as caught:
        pipeline(tmp_path, teacher)
    line = int(str(caught.value).split(":")[1])
    assert "teacher" in "".join((tmp_path / "config.yml").read_text().splitlines()[line - 2 : line])


@pytest.mark.parametrize("student", [{"topic": "a/{device}", "value": "$"}, {"onnx": "small.onnx"}])
def test_a_student_has_to_be_trained(tmp_path: Path, student: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="a student has to be trained"):
        pipeline(tmp_path, {"arch": "mlp"}, student=student)
