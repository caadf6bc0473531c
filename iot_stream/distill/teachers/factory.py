"""A teacher of the user's own: `module:function` gives a torch module, which is trained as a built-in one,
or a function of raw windows, which is taken as it is."""

import numpy as np
from torch import nn

from iot_stream.config import Network
from iot_stream.config.learning import Hardware, TrainSettings
from iot_stream.distill.checkpoints import Checkpoints
from iot_stream.distill.models.factory import made
from iot_stream.distill.teachers.foreign import ForeignMember, Speak, manner
from iot_stream.distill.teachers.member import Lessons, Member, State, check_lessons
from iot_stream.distill.teachers.network import NetworkMember
from iot_stream.distill.trainer import Progress, Trained
from iot_stream.errors import ModelError, TeacherAway
from iot_stream.readings import Values
from iot_stream.spec import Spec


class Factory:
    """Options: `gives` and `classes`, where it gives a function; all others are the factory's."""

    @classmethod
    def trained(
        cls,
        network: Network,
        spec: Spec,
        lessons: Lessons,
        settings: TrainSettings,
        seed: int,
        progress: Progress | None,
        checkpoints: Checkpoints | None,
    ) -> tuple[Member, Trained]:
        """Raises ModelError."""
        ready = _function(network, spec, seed)
        if ready is not None:
            return ready, Trained({}, 0, 0.0, 0.0)
        check_lessons(lessons, spec.classes)
        return NetworkMember.trained(network, spec, lessons, settings, seed, progress, checkpoints)

    @classmethod
    def restored(cls, network: Network, spec: Spec, state: State, hardware: Hardware) -> Member:
        if state:
            return NetworkMember.restored(network, spec, state, hardware)
        ready = _function(network, spec, 0)
        if ready is None:
            raise ModelError(f"factory {network.arch} gave a function before, and gives a module now")
        return ready


def _function(network: Network, spec: Spec, seed: int) -> ForeignMember | None:
    """None where the factory gives a module."""
    options = dict(network.options)
    columns, gives = manner(f"factory {network.arch}", options, spec.classes)
    shape = spec.cut.length, len(spec.cut.inputs), len(spec.classes)
    speak = made(network.arch, *shape, seed, **options)
    if isinstance(speak, nn.Module):
        if options.keys() != dict(network.options).keys():
            raise ModelError(f"factory {network.arch}: `gives` and `classes` are for functions, not modules")
        return None
    if not callable(speak):
        what = type(speak).__name__
        raise ModelError(f"factory {network.arch} gave a {what}, neither a torch.nn.Module nor a function")
    return ForeignMember(network.arch, _guarded(network.arch, speak), columns, gives)


def _guarded(name: str, speak: Speak) -> Speak:
    """Its errors as ours: what cannot be reached (OSError, as of connections and timeouts) is waited for."""

    def guarded(x: Values) -> Values:
        try:
            return np.asarray(speak(x))
        except OSError as error:
            raise TeacherAway(f"factory {name}: {type(error).__name__}: {error}") from error
        except Exception as error:  # whatever the user's code does
            raise ModelError(f"factory {name}: {type(error).__name__}: {error}") from error

    return guarded
