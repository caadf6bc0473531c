"""Settings: every error names the file, the line and the remedy; every setting says what it is for."""

# ruff: noqa: E501  a wrong configuration and what is said of it stand in one line

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from iot_stream.config import Address, Broker, Config, Network, Pipeline, Settings, load
from iot_stream.config.learning import DistillSettings, TrainSettings
from iot_stream.cut import Cut
from iot_stream.device.settings import DeviceSettings
from iot_stream.errors import ConfigError
from simulator import scenario

HEAD = "broker: mqtt://localhost\nstore: sqlite:store\npipelines:\n  office:\n"
OFFICE = """\
    window: {length: 4}
    task: {classify: [empty, occupied]}
    sources: [{channels: {co2: co2, light: light}}]
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "config.yml"
    path.write_text(text)
    return path


def office(folder: Path, added: str = "", without: str = "") -> Pipeline:
    kept = "".join(line for line in OFFICE.splitlines(True) if not without or without not in line)
    return load(write(folder, HEAD + kept + added)).pipelines["office"]


# --- what a file says


@pytest.mark.parametrize(
    ("store", "place", "keys"),
    [
        ("sqlite:///var/x", Path("/var/x"), "/var/x/keys"),
        ("sqlite:x", Path("x"), "x/keys"),
        ("postgresql://me:secret@h/d", "postgresql://me:secret@h/d", "/var/lib/iot-stream/keys"),
        ("postgresql://h/d\nkeys: safe", "postgresql://h/d", "safe"),
        ("sqlite:x\nkeys: safe", Path("x"), "safe"),
    ],
)
def test_where_the_store_is_and_where_the_keys_are(
    tmp_path: Path, store: str, place: Path | str, keys: str
) -> None:
    config = load(write(tmp_path, HEAD.replace("sqlite:store", store) + OFFICE))
    assert config.store_place == (tmp_path / place if isinstance(place, Path) else place)
    assert config.keys_folder == tmp_path / keys


def test_what_stands_over_a_file_is_no_path_of_its_folder(tmp_path: Path) -> None:
    config = load(write(tmp_path, HEAD + OFFICE), store="sqlite:x", keys="safe")
    assert (config.store_folder, config.keys_folder) == (Path("x"), Path("safe"))


def test_defaults_make_all_but_window_and_task_optional(tmp_path: Path) -> None:
    config = load(write(tmp_path, HEAD + OFFICE))
    assert config.address == Address("localhost", 1883)
    assert config.store_folder == tmp_path / "store"
    pipeline = config.pipelines["office"]
    assert pipeline.sources[0].topic == "iot/office/device/{device}/telemetry"
    assert pipeline.cut(pipeline.student) == Cut(("co2", "light"), ("co2", "light"), 4, 4)


def test_prefix_and_pipeline_are_written_out_in_topics(tmp_path: Path) -> None:
    text = "prefix: p\n" + HEAD + OFFICE + '    labels: {topic: "{prefix}/{pipeline}/{device}/truth"}\n'
    pipeline = load(write(tmp_path, text)).pipelines["office"]
    assert pipeline.sources[0].topic == "p/office/device/{device}/telemetry"
    assert pipeline.labels is not None
    assert pipeline.labels.topic == "p/office/{device}/truth"


def test_durations_and_rates_are_read(tmp_path: Path) -> None:
    pipeline = office(
        tmp_path,
        "    window: {length: 4, hop: 2, rate: 50/s, lateness: 2 s, fill: hold}\n    triggers: {every: 1 day}\n",
        "window",
    )
    cut = pipeline.cut(pipeline.student)
    assert (cut.period, cut.gap, cut.hop, cut.fill) == (20_000_000, 200_000_000, 2, "hold")
    assert pipeline.window.lateness == 2_000_000_000
    assert pipeline.triggers.every == 86_400_000_000_000


def test_a_model_keeps_its_own_options(tmp_path: Path) -> None:
    student = office(
        tmp_path, "    student: {arch: mlp, channels: [co2], hidden: [16], activation: tanh}\n"
    ).student
    assert isinstance(student, Network)
    assert (student.arch, student.channels) == ("mlp", ("co2",))
    assert dict(student.options) == {"hidden": [16], "activation": "tanh"}


def test_a_cut_reads_only_what_its_model_needs_in_the_order_of_derive(tmp_path: Path) -> None:
    pipeline = office(
        tmp_path,
        "    derive: {lco2: log(co2), slow: 'ema(lco2, 30 min)', other: log(light)}\n"
        "    student: {arch: mlp, channels: [slow]}\n"
        "    teacher: {arch: mlp, channels: [light, slow]}\n",
    )
    cut = pipeline.cut(pipeline.student)
    assert (cut.channels, cut.inputs, [d.name for d in cut.derive]) == (("co2",), ("slow",), ["lco2", "slow"])
    assert pipeline.cut(pipeline.teacher).channels == ("light", "co2")
    assert pipeline.sources_of(cut) == (0,)


def test_sources_of_a_cut_are_those_that_carry_its_channels(tmp_path: Path) -> None:
    pipeline = office(
        tmp_path,
        "    sources: [{channels: {co2: co2}}, {topic: 'x/{device}', channels: {light: light}}]\n"
        "    student: {arch: mlp, channels: [co2]}\n    teacher: {arch: mlp, channels: [light, co2]}\n",
        "sources",
    )
    assert pipeline.sources_of(pipeline.cut(pipeline.student)) == (0,)
    assert pipeline.sources_of(pipeline.cut(pipeline.teacher)) == (0, 1)


def test_required_channels_count_only_where_a_model_reads_them(tmp_path: Path) -> None:
    pipeline = office(
        tmp_path,
        "    window: {length: 1, required: [co2]}\n"
        "    student: {arch: mlp, channels: [co2]}\n    teacher: {arch: mlp, channels: [light]}\n",
        "window",
    )
    assert pipeline.cut(pipeline.student).required == ("co2",)
    assert pipeline.cut(pipeline.teacher).required == ()


@pytest.mark.parametrize(
    "recordings",
    [
        "{files: a.npz, order: key, segments: day}",
        "{files: a.npz, match: '(?P<load>.)', order: load, segments: load, values: {load: {1: 0}}}",
        "{files: data, label: gas, shuffle: batch, segments: batch, values: {gas: {1: a}, batch: {1: x}}}",
        "{files: a.csv, stream: {where: {kind: [1, 2]}}, values: {kind: {a: 1, b: 2}}}",
        "{world: features, segments: regime}",
        "{labels: {fraction: 1, delay: segment}, round_time: 0 s}",
    ],
)
def test_recordings_may_name_what_the_files_can_have(tmp_path: Path, recordings: str) -> None:
    assert office(tmp_path, f"    recordings: {recordings}\n").recordings is not None


def test_late_labels_are_read(tmp_path: Path) -> None:
    recordings = office(
        tmp_path, "    recordings: {labels: {fraction: 0.1, delay: 100 readings}, round_time: 5 s}\n"
    ).recordings
    assert recordings is not None
    assert (recordings.labels.fraction, recordings.labels.delay.readings) == (0.1, 100)
    assert recordings.round_time == 5_000_000_000


def test_changes_are_put_over_the_file(tmp_path: Path) -> None:
    config = load(write(tmp_path, HEAD + OFFICE), broker="mqtt://elsewhere:1999")
    assert config.address == Address("elsewhere", 1999)


# --- the broker


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("mqtt://host", Address("host", 1883)),
        ("mqtts://host", Address("host", 8883, tls=True)),
        ("mqtt://ann:p%40ss@host:1999", Address("host", 1999, False, "ann", "p@ss")),
        ("mqtt://${WHO}:${WORD}@${WHERE}", Address("broker.example", 2000, False, "ann", "s/e:c@r%t")),
        ("mqtt://[::1]:1884", Address("::1", 1884)),
        ("ws://host", Address("host", 80, websocket="/mqtt")),
        ("ws://host:9001/", Address("host", 9001, websocket="/mqtt")),
        ("wss://host/a/b", Address("host", 443, tls=True, websocket="/a/b")),
    ],
)
def test_address_of_a_url(url: str, address: Address, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"WHO": "ann", "WORD": "s/e:c@r%t", "WHERE": "broker.example:2000"}.items():
        monkeypatch.setenv(name, value)
    assert Broker(url=url).address() == address


def test_user_and_password_may_stand_apart_and_come_from_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("WORD", "p@ss")
    address = Broker(url="mqtt://host", user="ann", password="${WORD}").address()
    assert (address.user, address.password) == ("ann", "p@ss")


def test_an_address_in_a_log_does_not_show_the_password() -> None:
    assert str(Broker(url="mqtts://ann:secret@host").address()) == "mqtts://host:8883"


@pytest.mark.parametrize(
    "url",
    [
        "http://host",
        "host",
        "mqtt://",
        "mqtt://host:port",
        "mqtt://host:99999",
        "mqtt://[::1",
        "",
        "mqtt://h/a",
    ],
)
def test_a_wrong_url_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="broker: "):
        Broker(url=url).address()


@pytest.mark.parametrize("name", ["ca", "cert", "key"])
def test_a_certificate_that_is_not_there_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match=rf"broker\.{name}: no file"):
        Broker(url="mqtts://host", **{name: str(tmp_path / "a.pem")}).address()


def test_a_certificate_comes_with_its_key_and_under_tls(tmp_path: Path) -> None:
    file = tmp_path / "a.pem"
    file.touch()
    with pytest.raises(ConfigError, match="needs its key"):
        Broker(url="mqtts://host", cert=str(file)).address()
    with pytest.raises(ConfigError, match="mqtt shows no certificates"):
        Broker(url="mqtt://host", cert=str(file), key=str(file)).address()


def test_an_address_in_a_log_is_as_it_was_written() -> None:
    assert str(Broker(url="wss://host/a").address()) == "wss://host:443/a"


# --- errors

WRONG: list[tuple[str, str, int, str]] = [  # added, line left out, line in the file, message
    ("    window: {length: 4, rate: 1/s, fill: lineer}\n", "window", 7, "window.fill: 'lineer' is none of linear, hold"),
    ("    triggers: {drift: adwin, watch: [disagrement]}\n", "", 8, "triggers.watch.0: 'disagrement' is none of disagreement, confidence, features"),
    ("    distill: {loss: kld}\n", "", 8, "distill.loss: no loss 'kld'; is kd meant?"),
    ("    student: {arch: mlpp}\n", "", 8, "student.arch: no architecture 'mlpp'; is mlp meant?"),
    ("    teacher: {arch: svm}\n", "", 8, "teacher.arch: no teacher 'svm'; is svc meant?"),
    ("    teacher:\n      arch: ensemble\n      members:\n        - {arch: svc}\n        - {arch: ldaa}\n", "", 12, "teacher.members.1.arch: no teacher 'ldaa'; is lda meant?"),
    ("    window: {lenght: 4}\n", "window", 7, "pipelines.office.window.lenght: unknown setting `lenght`; is `length` meant?"),
    ("    windw: {}\n", "", 8, "windw: unknown setting `windw`; is `window` meant?"),
    ("    derive: {x: logg(co2)}\n", "", 8, "derive.x: no function 'logg'; is log meant?"),
    ("    derive:\n      x: log(y)\n      y: log(co2)\n    student: {arch: mlp, channels: [x]}\n", "", 9,
     "derive.x: nothing before it makes 'y'"),
    ("    student: {arch: mlp, channels: [c02]}\n", "", 8, "student.channels: no source and no `derive` makes 'c02'; is co2 meant?"),
    ("    teacher:\n      arch: mlp\n      channels: [light, dark]\n", "", 10, "teacher.channels: no source"),
    ("    cohorts:\n      engine: spark\n", "", 9, "cohorts.engine: 'spark' is none of plain, ray"),
    ("    cohorts:\n      by: all\n      address: ray://head\n", "", 10, "cohorts.address: "),
    ("    student: mlp\n", "", 8, "student: a model is {arch: …, channels: […], …}"),
    ("    triggers: {every: 5 parsecs}\n", "", 8, "triggers.every: not a duration: '5 parsecs'; write a number and a unit"),
    ("    window: {length: 4, rate: fast}\n", "window", 7, "window.rate: not a rate: 'fast'; write 50/s"),
    ("    window: {length: 4, required: [c02]}\n", "window", 7, "window.required: no channel 'c02'; is co2 meant?"),
    ("    window: {length: 0}\n", "window", 7, "window.length: must be at least 1"),
    ("    task: {classify: [one]}\n", "task", 7, "task.classify: must have at least 2 entries"),
    ("    gate: {share: 2}\n", "", 8, "gate.share: must be less than 1"),
    ("    sources: [{format: jsn}]\n", "sources", 7, "sources.0.format: no format 'jsn'; is json meant?"),
    ("    sources:\n      - format: json\n        channels: {co2: co2}\n", "sources", 8, "sources.0: not a path: 'co2'; write $.field"),
    ("    sources: [{topic: office/co2, channels: {co2: co2}}]\n", "sources", 7, "sources.0.topic: 'office/co2' must have one level {device}"),
    ("    sources: [{channels: {co2: co2}, seq: $.n}]\n", "sources", 7, "sources.0.seq: numbers need a boot id too"),
    ("    sources: [{channels: {co2: co2}, host: h}]\n", "sources", 7, "sources.0.host: is for format sparkplug"),
    ("    sources: [{format: sparkplug, channels: {co2: x}, host: a/b}]\n", "sources", 7, "sources.0.host: 'a/b' must not be empty, and have no '/'"),
    ("    sources: [{channels: {co2: co2}, zone: Berlin}]\n", "sources", 7, "sources.0.zone: no time zone 'Berlin'"),
    ("    sources: [{format: telemetry}]\n", "sources", 4, "student: channels: name the channels, for the sources do not"),
    ("    labels: {topic: a/b}\n", "", 8, "labels.topic: 'a/b' must have one level {device}"),
    ("    labels: {topic: 'a/{device}', value: class}\n", "", 8, "labels.value: not a path: 'class'"),
    ("    recordings: {match: '('}\n", "", 8, "recordings.match: not a regular expression"),
    ("    recordings: {stream: {from: 2015-13-01}}\n", "", 8, "recordings.stream.from: not a time: '2015-13-01'"),
    ("    recordings: {bootstrap: {teacher: {}, student: {to: noon}}}\n", "", 8, "recordings.bootstrap.student.to: not a time: 'noon'"),
    ("    recordings: {channels: {light: l}, late: {ligth: {every: 1 day}}}\n", "", 8, "late.ligth: no channel 'ligth'; is light meant?"),
    ("    recordings: {channels: {light: l}, late: {light: {every: 0 s}}}\n", "", 8, "late.light.every: must be longer than nothing"),
    ("    recordings: {channels: {light: l}, late: {light: {every: 1 day, at: '25:00'}}}\n", "", 8, "late.light.at: must be written as "),
    ("    recordings: {late: {light: {evry: 1 day}}}\n", "", 8, "late.light.evry: unknown setting `evry`; is `every` meant?"),
    ("    recordings: {channels: {light: l}, late: {light: {every: 1 day}}}\n", "", 8, "late.light: its source carries 'co2' too, which comes at another time"),
    ("    sources: [{}]\n    recordings: {channels: {light: l}, late: {light: {every: 1 day}}}\n", "sources", 8, "late.light: no source names 'light'"),
    ("    recordings:\n      time: t\n      order: load\n", "", 10, "recordings.order: is for recordings without times, and there is `time`"),
    ("    recordings: {time: t, shuffle: batch}\n", "", 8, "recordings.shuffle: is for recordings without times"),
    ("    recordings: {files: a.npz, shuffle: batch}\n", "", 8, "recordings.shuffle: only rows of CSV or Parquet files can be shuffled"),
    ("    recordings: {match: '(?P<load>.)', order: laod}\n", "", 8, "recordings.order: no field 'laod'; there are key, load"),
    ("    recordings: {files: a.npz, segments: batch}\n", "", 8, "recordings.segments: no field 'batch'; there are key"),
    ("    recordings: {world: features, segments: load}\n", "", 8, "recordings.segments: no field 'load'; there are regime"),
    ("    recordings:\n      label: gas\n      values:\n        gass: {1: a}\n", "", 11, "recordings.values.gass: nothing asks for 'gass'; there are device, gas, key"),
    ("    recordings: {labels: {fraction: 1.5}}\n", "", 8, "labels.fraction: must be at most 1"),
    ("    recordings: {labels: {fraction: -0.1}}\n", "", 8, "labels.fraction: must be at least 0"),
    ("    recordings: {labels: {delay: soon}}\n", "", 8, "labels.delay: not a duration: 'soon'"),
    ("    recordings: {round_time: -1 s}\n", "", 8, "recordings.round_time: not a duration: '-1 s'"),
    ("    recordings: {readings: 0}\n", "", 8, "recordings.readings: must be at least 1"),
    ("    train: {tune_share: 0}\n", "", 8, "train.tune_share: must be more than 0"),
    ("    seed: 1\n    seed: 2\n", "", 9, "seed: is there already, in line 8"),
    ("  office: {}\n", "", 8, "pipelines.office: is there already, in line 4"),
    ("  'a/b': {}\n", "", 8, "letters, digits, . _ - only"),
    ("  other: {window: {length: 1}}\n", "", 8, "pipelines.other: `task` is missing"),
    ("    dashboard: {}\n", "", 8, "pipelines.office.dashboard: unknown setting `dashboard`; `dashboard` stands at the top level"),
    ("    hop: 2\n", "", 8, "hop: unknown setting `hop`; `hop` stands under `window`"),
    ("    gate: {triggers: {}}\n", "", 8, "gate.triggers: unknown setting `triggers`; `triggers` stands one level up"),
    ("    windows: 3\n", "", 8, "windows: unknown setting `windows`; is `window` meant? `windows` stands under `triggers`, `cohorts`, `hold`"),
    ("    seed: one\n", "", 8, "seed: must be a whole number, and is text"),
    ("window: {}\n", "", 8, "window: unknown setting `window`; `window` stands under `pipelines.NAME`"),
    ("stre: x\n", "", 8, "stre: unknown setting `stre`; is `store` meant?"),
]  # fmt: skip


@pytest.mark.parametrize(("added", "without", "line", "message"), WRONG)
def test_an_error_names_file_line_and_remedy(
    tmp_path: Path, added: str, without: str, line: int, message: str
) -> None:
    with pytest.raises(ConfigError) as error:
        office(tmp_path, added, without)
    assert str(error.value).startswith(f"{tmp_path / 'config.yml'}:{line}: ")
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (HEAD.replace("mqtt:", "amqp:") + OFFICE, ":1: broker: "),
        (
            HEAD.replace("mqtt://localhost", "mqtt://${NOWHERE_SET}@x") + OFFICE,
            ":1: broker: the environment has no NOWHERE_SET",
        ),
        (
            HEAD.replace("mqtt://localhost", "{urll: x}") + OFFICE,
            ":1: broker.urll: unknown setting `urll`; is `url` meant?",
        ),
        (HEAD.replace("sqlite:store", "oracle:x") + OFFICE, ":2: store: "),
        (
            HEAD.replace("sqlite:store", "postgres://me:secret@h/d") + OFFICE,
            ":2: store: 'postgres://me@h/d' is neither",
        ),
        (HEAD.replace("store:", "prefix: a/b\nstore:") + OFFICE, ":2: prefix: "),
        (
            HEAD
            + OFFICE
            + "    cohorts: {engine: ray, address: one:6379}\n  hall:\n"
            + OFFICE
            + "    cohorts: {engine: ray, address: other:6379}\n",
            ":13: pipelines.hall.cohorts.address: 'other:6379' is not 'one:6379', as another pipeline has it",
        ),
        ("broker: mqtt://x\n", ":1: pipelines: at least one is needed"),
        ("pipeline:\n  a: {}\n", ":1: pipeline: unknown setting `pipeline`; is `pipelines` meant?"),
        ("pipelines: 3\n", ":1: pipelines: at least one is needed"),
        ("- a\n", ": a mapping is expected"),
        ("a: [\n", ":2: not valid YAML"),
        ("", ": a mapping is expected"),
    ],
)
def test_an_error_of_the_whole_file_names_its_place(tmp_path: Path, text: str, place: str) -> None:
    with pytest.raises(ConfigError) as error:
        load(write(tmp_path, text))
    assert str(error.value).startswith(f"{tmp_path / 'config.yml'}{place}")


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"{tmp_path / 'none.yml'}: no such file; `iot-stream init`"):
        load(tmp_path / "none.yml")
    (tmp_path / "latin.yml").write_bytes(b"broker: \xff\n")
    with pytest.raises(ConfigError, match=r"latin\.yml: not UTF-8"):
        load(tmp_path / "latin.yml")


# --- descriptions


def structs() -> Iterator[type[msgspec.Struct]]:
    waiting: list[Any] = [Settings]
    while waiting:
        kind = waiting.pop()
        yield kind
        waiting += kind.__subclasses__()
    yield from (TrainSettings, DistillSettings, DeviceSettings)


def test_every_setting_says_what_it_is_for() -> None:
    assert {Config, Pipeline, scenario.Scenario, scenario.Faults} <= set(structs())
    seen = 0
    for kind in structs():
        for field in msgspec.structs.fields(kind):
            meta = [m for m in getattr(field.type, "__metadata__", ()) if isinstance(m, msgspec.Meta)]
            assert any(m.description for m in meta), f"{kind.__name__}.{field.encode_name} has no description"
            seen += 1
    assert seen > 80


def test_the_examples_load() -> None:
    examples = sorted((Path(__file__).parent.parent / "examples").glob("*/config.yml"))
    assert examples
    for path in examples:
        assert load(path).pipelines
    for path in (Path(__file__).parent.parent / "examples").glob("*/scenario.yml"):
        assert scenario.read(path, {}).devices


# --- devices and scenarios


def test_device_settings_survive_their_file(tmp_path: Path) -> None:
    sent = DeviceSettings(
        pipeline="office", device="pump 1", root='{"a": 1}', broker=Broker(url="mqtt://h", user="u")
    )
    path = tmp_path / "pump.yml"
    path.write_text(sent.dump())
    read = DeviceSettings.load(path)
    assert msgspec.structs.replace(read, state=sent.state) == sent
    assert read.state == str(tmp_path / "state")
    assert read.address == Address("h", 1883, user="u")


def test_a_scenario_takes_options_over_its_file(tmp_path: Path) -> None:
    path = tmp_path / "scenario.yml"
    path.write_text("devices: 3\nfaults: {duplicates: 0}\nschedule: [{at: 25 s, regime: heavy}]\n")
    plan = scenario.read(path, {"seconds": 4.0, "devices": 5})
    assert (plan.devices, plan.seconds, plan.faults.duplicates) == (5, 4.0, 0)
    assert plan.schedule[0].at == 25_000_000_000
    path.write_text("faults: {duplicate: 0}\n")
    with pytest.raises(ConfigError, match=r"scenario\.yml:1: faults\.duplicate: .*is `duplicates` meant"):
        scenario.read(path, {})
    with pytest.raises(ConfigError, match="options:1: devices: "):
        scenario.read(None, {"devices": 0})


def test_a_file_may_stand_upon_another(tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_text(HEAD + OFFICE)
    (tmp_path / "b.yml").write_text("base: a.yml\nprefix: other\npipelines: {office: {window: {hop: 1}}}\n")
    (tmp_path / "c.yml").write_text("base: b.yml\nprefix: third\n")
    a, b, c = (load(tmp_path / f"{name}.yml") for name in "abc")
    assert (b.prefix, c.prefix) == ("other", "third")
    assert c.pipelines["office"].window.hop == 1
    assert c.pipelines["office"].window.length == a.pipelines["office"].window.length
    assert b.store == a.store


def test_a_file_cannot_stand_upon_itself(tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_text("base: b.yml\n")
    (tmp_path / "b.yml").write_text("base: a.yml\n")
    with pytest.raises(ConfigError, match=r"base: a\.yml is based on this file itself"):
        load(tmp_path / "a.yml")
