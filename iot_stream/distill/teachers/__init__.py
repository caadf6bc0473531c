"""Teachers: whatever tells the class of a window, with more to go by than the student has."""

from iot_stream.distill.teachers.features import features
from iot_stream.distill.teachers.member import Lessons
from iot_stream.distill.teachers.teacher import Teacher, from_bytes, key_of, train, tune

__all__ = ["Lessons", "Teacher", "features", "from_bytes", "key_of", "train", "tune"]
