from iot_stream.clock import SECOND
from iot_stream.config import Triggers
from iot_stream.service.triggers import Trigger
from iot_stream.units import Duration

EVERY = Triggers(every=Duration(10 * SECOND), at_least=5)


def test_period_starts_with_the_first_windows_and_does_not_creep():
    trigger = Trigger(EVERY, 0, 0)
    assert trigger.reason(100 * SECOND, 4) is None
    assert trigger.reason(100 * SECOND, 5) == "period"
    trigger.started(100 * SECOND, 5)
    assert trigger.reason(109 * SECOND, 50) is None
    trigger_at = 113 * SECOND
    assert trigger.reason(trigger_at, 50) == "period"
    trigger.started(trigger_at, 50)
    assert trigger.reason(120 * SECOND, 100) == "period"


def test_period_after_a_long_silence_does_not_catch_up():
    trigger = Trigger(EVERY, 0, 0)
    trigger.started(100 * SECOND, 5)
    trigger.started(500 * SECOND, 50)
    assert trigger.reason(505 * SECOND, 100) is None


def test_number_of_new_windows():
    trigger = Trigger(Triggers(windows=100, at_least=5), 0, 20)
    assert trigger.reason(0, 119) is None
    assert trigger.reason(0, 120) == "windows"


def test_command_needs_no_windows():
    trigger = Trigger(Triggers(), 0, 0)
    assert trigger.reason(0, 10_000) is None
    trigger.command = 7
    assert trigger.reason(0, 0) == "command"


def test_goes_on_after_a_restart_where_it_was():
    trigger = Trigger(EVERY, 100 * SECOND, 40)
    assert trigger.reason(105 * SECOND, 100) is None
    assert trigger.reason(110 * SECOND, 44) is None
    assert trigger.reason(110 * SECOND, 45) == "period"
