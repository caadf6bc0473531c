"""Teachers: whatever tells the class of a window, with more to go by than the student has."""

from iot_stream.distill.teachers import drift as _drift
from iot_stream.distill.teachers import estimators as _estimators
from iot_stream.distill.teachers import network as _network
from iot_stream.distill.teachers import onnx_file as _onnx_file
from iot_stream.distill.teachers import topic as _topic
from iot_stream.distill.teachers.features import features
from iot_stream.distill.teachers.member import Lessons
from iot_stream.distill.teachers.teacher import Teacher, from_bytes, key_of, ready, train, tune

__all__ = ["Lessons", "Teacher", "features", "from_bytes", "key_of", "ready", "train", "tune"]

_REGISTERED = (_drift, _estimators, _network, _onnx_file, _topic)
