"""How far a round is, as the broker tells it."""

from iot_stream import topics
from iot_stream.watch.dashboard import progress
from iot_stream.watch.dashboard.progress import Progress, Step


def tell(heard: Progress, name: str, event: str, at_s: int = 1, pipeline: str = "p", **more: str) -> None:
    topic = topics.ROUND.of(prefix="iot", pipeline=pipeline, round=name)
    heard.take(topic, topics.encode(topics.RoundEvent(event, name, at_s * 10**9, **more)))


def test_steps_of_a_round_are_told_in_order() -> None:
    heard = Progress()
    tell(heard, "r1", "started", trigger="drift")
    tell(heard, "r1", "progress", 2, stage="sample", detail="300 recent")
    tell(heard, "r1", "progress", 3, pipeline="another", stage="sample")
    assert heard.of("p", "r1") == [
        Step(1, "started", "", "drift"),
        Step(2, "progress", "sample", "300 recent"),
    ]
    assert heard.of("p", "r2") == []
    assert (heard.heard("p"), heard.heard("another"), heard.heard("none")) == (2, 1, 0)


def test_other_messages_and_broken_ones_change_nothing() -> None:
    heard = Progress()
    heard.take("iot/p/round/r1", b"{")
    heard.take("iot/p/device/d/status", b"{}")
    assert heard.heard("p") == 0


def test_old_rounds_and_steps_are_forgotten() -> None:
    heard = Progress()
    for step in range(progress.STEPS + 5):
        tell(heard, "r0", "progress", step)
    assert [heard.of("p", "r0")[0].at, len(heard.of("p", "r0"))] == [5, progress.STEPS]
    for number in range(1, progress.ROUNDS + 1):
        tell(heard, f"r{number}", "started")
    assert heard.of("p", "r0") == []
    assert heard.of("p", "r1") != []
