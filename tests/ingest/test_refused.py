"""What is refused is said: at once, and not again for each message."""

from iot_stream.errors import DataError
from iot_stream.ingest.refused import AGAIN_S, Refused


def test_the_first_is_said_at_once_and_more_a_minute_later() -> None:
    refused = Refused()
    assert refused.news(0.0) == []
    refused.add("pump", DataError("malformed", "not JSON"))
    assert refused.news(1.0) == [
        "a message refused, malformed: pump: not JSON; see `iot-stream quarantine list`"
    ]
    for _ in range(1000):
        refused.add("fan", DataError("malformed", "empty"))
    assert refused.news(AGAIN_S) == []
    refused.add("pump", DataError("no_birth", "plant/edge"))
    assert [each.split(":")[0] for each in refused.news(AGAIN_S)] == ["a message refused, no_birth"]
    (said,) = refused.news(1.0 + AGAIN_S)
    assert said.startswith("1000 messages refused, malformed: fan: empty; ")
    assert refused.news(2.0 + 9 * AGAIN_S) == []
