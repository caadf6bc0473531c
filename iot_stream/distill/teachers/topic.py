"""A topic as teacher: its windows are what it said, and its word is what was said last."""

import numpy as np
from numpy.typing import NDArray

from iot_stream.config import Network, TopicTeacher
from iot_stream.config.learning import Hardware
from iot_stream.config.network import TOPIC
from iot_stream.distill.teachers.foreign import PROBABILITIES, ForeignMember, Ready
from iot_stream.distill.teachers.member import KINDS, State
from iot_stream.readings import Values
from iot_stream.spec import Spec


@KINDS.register(TOPIC)
class Topic(Ready):
    @classmethod
    def restored(cls, network: Network, spec: Spec, _state: State, _hardware: Hardware) -> ForeignMember:
        told = network.topic
        assert told is not None
        every = tuple(range(len(spec.classes)))
        return ForeignMember(
            told.topic, lambda x: probabilities(x[:, -1], told, spec.classes), every, PROBABILITIES
        )


def probabilities(said: Values, told: TopicTeacher, classes: tuple[str, ...]) -> NDArray[np.float64]:
    """(n, channels) of a topic's words → (n, classes); NaN where there is none, or it is no such thing."""
    words = said.astype(np.float64)
    found = np.full((len(words), len(classes)), np.nan)
    if told.probabilities:
        places = [classes.index(name) for name in told.probabilities]
        whole = words.sum(axis=1, keepdims=True)
        with np.errstate(invalid="ignore", divide="ignore"):
            good = (words >= 0).all(axis=1) & (whole[:, 0] > 0)
            found[np.ix_(good, places)] = (words / whole)[good]
        return found
    word = words[:, 0]
    if told.probability:
        of = classes.index(told.of) if told.of else 1
        good = (word >= 0) & (word <= 1)
        found[good, of], found[good, 1 - of] = word[good], 1 - word[good]
        return found
    good = np.isin(word, np.arange(len(classes)))
    found[good] = np.eye(len(classes))[word[good].astype(np.int64)]
    return found
