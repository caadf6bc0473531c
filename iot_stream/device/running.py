"""One process may be several devices: a gateway for all sensors of a house, each with a file of its own."""

import fcntl
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from queue import SimpleQueue

from iot_stream.device.client import DeviceClient
from iot_stream.device.inputs.kinds import Stdin
from iot_stream.device.inputs.lines import Rows
from iot_stream.device.inputs.opening import channels_of, opened
from iot_stream.device.settings import DeviceSettings
from iot_stream.errors import ConfigError


class Running:
    """A device, and the input that feeds it. Raises ConfigError for what can never work."""

    def __init__(self, settings: DeviceSettings, channels: tuple[str, ...]) -> None:
        self.name = settings.device
        self._readings: Iterator[Rows] = opened(settings, channels)
        self._client = DeviceClient(settings, channels)
        self._feeding = threading.Lock()
        self._stopped = False

    def start(self) -> None:
        """Raises BrokerError if it has no model, and there is no way to the broker."""
        self._client.start()

    def feed(self) -> None:
        """Until the input ends, or `stop`."""
        for times, values in self._readings:
            with self._feeding:
                if self._stopped:
                    return
                self._client.feed(times, values)

    def stop(self) -> None:
        with self._feeding:
            self._stopped = True
        self._client.stop()


def run(devices: Sequence[DeviceSettings], channels: tuple[str, ...] = ()) -> None:
    """Until an input ends or fails, or KeyboardInterrupt: then all are stopped.

    channels: in place of those that the file names. Raises ConfigError, BrokerError, and whatever an input
    raises.
    """
    _check_apart(devices)
    running = [Running(each, channels or channels_of(each)) for each in devices]
    with ExitStack() as started:
        for settings, each in zip(devices, running, strict=True):
            started.enter_context(_alone_in(Path(settings.state)))
            started.callback(each.stop)
            each.start()
        if len(running) == 1:  # on the main thread: one that waits for standard input could not be ended
            running[0].feed()
        else:
            _feed_all(running)


def _feed_all(running: Sequence[Running]) -> None:
    ended: SimpleQueue[BaseException | None] = SimpleQueue()

    def feed(each: Running) -> None:
        try:
            each.feed()
        except BaseException as error:  # noqa: BLE001  raised again below
            ended.put(error)
        else:
            ended.put(None)

    for each in running:
        threading.Thread(target=partial(feed, each), name=f"{each.name}-input", daemon=True).start()
    if error := ended.get():
        raise error


@contextmanager
def _alone_in(state: Path) -> Iterator[None]:
    """A second process would throw this one off the broker, and write its disk; raises ConfigError.

    The folder itself is locked, which takes no room and no right to write: a card that has become read-only
    keeps nobody from starting.
    """
    try:
        state.mkdir(parents=True, exist_ok=True)
        folder = os.open(state, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise ConfigError(f"state: {state}: {error.strerror}") from error
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError(
                f"state: {state} is another process's; is this device running already?"
            ) from None
        yield
    finally:
        os.close(folder)


def _check_apart(devices: Sequence[DeviceSettings]) -> None:
    """Raises ConfigError for two that would be in each other's way."""
    if len(devices) > 1:
        for each in devices:
            if isinstance(each.input, Stdin):
                raise ConfigError(f"input: {each.device} alone can read standard input; run it by itself")
    for what, taken in (
        ("device", [f"{each.device} of {each.pipeline}" for each in devices]),
        ("state", [str(Path(each.state).resolve()) for each in devices]),
    ):
        if twice := {each for each in taken if taken.count(each) > 1}:
            raise ConfigError(f"{what}: {', '.join(sorted(twice))} stands in two of the files")
