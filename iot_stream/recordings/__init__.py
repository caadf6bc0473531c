"""Recordings: what sensors said, with labels where somebody knew, and when those become known.

`load` reads files, `select` takes a part and lays it out in time, `late_labels` says which labels of a
stream are ever known, and when.
"""

from iot_stream.recordings.files import load
from iot_stream.recordings.labels import Known, late_labels
from iot_stream.recordings.recording import RECORDING_EPOCH, Recording
from iot_stream.recordings.selection import select

__all__ = ["RECORDING_EPOCH", "Known", "Recording", "late_labels", "load", "select"]
