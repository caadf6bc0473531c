"""What the configuration takes for a name is one, and each is taken."""

from iot_stream.config import names
from iot_stream.config.network import ONNX, TOPIC
from iot_stream.distill.losses import SOFT
from iot_stream.distill.models import architectures
from iot_stream.distill.teachers.member import KINDS


def test_the_configuration_knows_what_there_is() -> None:
    assert sorted(names.LOSSES) == SOFT.names()
    assert sorted(names.ARCHITECTURES) == architectures()
    assert sorted((*names.TEACHERS, ONNX, TOPIC)) == KINDS.names()
