"""What a teacher's last hidden layer says, for losses that teach more than its outputs."""

from iot_stream.distill.teachers.network import NetworkMember
from iot_stream.distill.teachers.teacher import Teacher
from iot_stream.distill.trainer import NO_FEATURES, hidden
from iot_stream.errors import ModelError
from iot_stream.readings import Values


def features(teacher: Teacher, windows: Values) -> Values:
    """(n, length, inputs) raw teacher windows → (n, width); raises ModelError unless it is one network."""
    member = teacher.members[0]
    if len(teacher.members) > 1 or not isinstance(member, NetworkMember):
        raise ModelError(f"loss hints: {NO_FEATURES}")
    return hidden(member.module, teacher.spec.model_input(windows))
