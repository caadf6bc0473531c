"""The alarm for loss on the way."""

from iot_stream.ingest.loss import LossAlarm


def test_it_sounds_once_above_the_bound_and_says_when_it_is_over() -> None:
    alarm = LossAlarm(0.01)
    assert alarm.look("d", 0, 1000) == ""
    said = alarm.look("d", 40, 960)
    assert said.startswith("d loses 2.1% of its readings on the way, 1.0% are allowed")
    assert alarm.look("d", 40, 960) == ""  # once
    for _ in range(60):
        if said := alarm.look("d", 0, 1000):
            break
    assert said == "d loses no more than is allowed again"
    assert alarm.look("d", 0, 1000) == ""
    assert "d loses" in alarm.look("d", 500, 500)


def test_devices_are_apart_and_few_readings_tell_nothing() -> None:
    alarm = LossAlarm(0.1)
    assert alarm.look("few", 50, 40) == ""
    assert alarm.look("a", 0, 0) == ""
    assert alarm.look("b", 90, 900) == ""
    assert alarm.look("c", 110, 900).startswith("c loses 10.9%")


def test_who_is_told_of_every_message_looks_at_a_hundred() -> None:
    alarm = LossAlarm(0.05, "messages")
    said = [alarm.add("node", lost=int(i % 10 == 9), heard=1) for i in range(300)]
    assert [i for i, text in enumerate(said) if text] == [90]  # 91 heard, 9 lost
    assert said[90].startswith("node loses 9.0% of its messages on the way, 5.0% are allowed")
    over = [alarm.add("node", lost=0, heard=1) for _ in range(3000)]
    assert [text for text in over if text] == ["node loses no more than is allowed again"]
