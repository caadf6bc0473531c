"""A signal ends what waits, whatever it is doing at that moment."""

import random
import signal
import subprocess
import sys
import time

import pytest

WAITS = """
from iot_stream.stopping import until_stopped

while True:
    stopping = until_stopped()
    print("waiting", flush=True)
    while not stopping.wait(0):
        pass
"""


@pytest.mark.slow
def test_it_is_set_at_whatever_moment_the_signal_comes() -> None:
    chance = random.Random(0)
    command = [sys.executable, "-c", WAITS]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as waiting:
        assert waiting.stdout
        for number in (signal.SIGINT, signal.SIGTERM) * 200:
            assert waiting.stdout.readline() == "waiting\n"
            time.sleep(chance.uniform(0, 0.001))  # not to wait for anything: any moment will do
            waiting.send_signal(number)
        waiting.kill()
