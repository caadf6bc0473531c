"""The one configuration: typed settings, each with its meaning, and what follows from them.

`load` reads a file; `docs/configuration.md` is generated from the descriptions.
"""

from iot_stream.address import Address, Broker, Settings
from iot_stream.config.cohorts import Cohorts
from iot_stream.config.loading import Config, load
from iot_stream.config.network import Network, TopicTeacher
from iot_stream.config.recordings import Bootstrap, Late, LateLabels, Recordings, Select
from iot_stream.config.release import Health, Release
from iot_stream.config.settings import (
    Gate,
    Hold,
    Labels,
    Pipeline,
    Sample,
    Task,
    Trust,
    Window,
)
from iot_stream.config.triggers import Triggers
from iot_stream.config.uploading import device_upload, sampled_source
from iot_stream.config.watching import Dashboard, HomeAssistant, Metrics
from iot_stream.formats.source import Source

__all__ = [
    "Address",
    "Bootstrap",
    "Broker",
    "Cohorts",
    "Config",
    "Dashboard",
    "Gate",
    "Health",
    "Hold",
    "HomeAssistant",
    "Labels",
    "Late",
    "LateLabels",
    "Metrics",
    "Network",
    "Pipeline",
    "Recordings",
    "Release",
    "Sample",
    "Select",
    "Settings",
    "Source",
    "Task",
    "TopicTeacher",
    "Triggers",
    "Trust",
    "Window",
    "device_upload",
    "load",
    "sampled_source",
]
