"""A page played as a reader would: its files are saved, its commands typed, what they print is waited for.

- A block whose first line is `# iot-stream.yml` or the like is a file of that name.
- `sh`: commands that run to their end, in order.
- `console`: a terminal. `$ …` is typed; the lines below are what one sees, `…` being anything. A command that
  goes on by itself (`serve`, a sensor, a device) is left running, and the next one typed in another terminal.
  `^C` ends the one that the next line starts anew.

All in one folder, with the broker of the tests in place of the reader's.
"""

import os
import re
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.docs.pages import ROOT, Block

GOES_ON = re.compile(r"\b(serve|monitor|iot-device run|mosquitto_sub|python \w+\.py)\b")
AGAIN = "^C "
PATIENCE = 300  # seconds, on shared cores

Change = Callable[[str], str]


class Terminals:
    def __init__(self, folder: Path, change: Change) -> None:
        self.folder, self._change = folder, change
        self._running: list[tuple[str, subprocess.Popen[bytes], Path]] = []
        programs = Path(sys.executable).parent
        self._environment = os.environ | {
            "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "PYTHONUNBUFFERED": "1",
            "OMP_NUM_THREADS": "1",
        }

    def play(self, blocks: list[Block]) -> None:
        for block in blocks:
            if block.file:
                (self.folder / block.file).write_text(self._change(block.text))
            elif block.language == "sh":
                self._typed(block, self._change(block.text), [])
            elif block.language == "console":
                for command, seen in commands(block.text):
                    if command.startswith(AGAIN):
                        self._end(command.split()[1:3])
                    self._typed(block, self._change(command.removeprefix(AGAIN)), seen)

    def _end(self, program: list[str]) -> None:
        """What runs as the same program, and is started anew."""
        for command, process, _ in reversed(self._running):
            if command.split()[:2] == program and process.poll() is None:
                os.killpg(process.pid, signal.SIGINT)
                process.wait(20)
                return
        raise AssertionError(f"nothing runs {' '.join(program)}")

    def _typed(self, block: Block, command: str, seen: list[str]) -> None:
        log = self.folder / f"terminal-{len(self._running)}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                ["bash", "-euo", "pipefail", "-c", command],
                cwd=self.folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_heeds_ctrl_c,
            )
        self._running.append((command, process, log))
        goes_on = bool(GOES_ON.search(command))
        place = f"{block}: {command}"
        for wanted in seen:
            shown = _pattern(self._change(wanted))
            _wait(process, lambda shown=shown: bool(shown.search(log.read_text())))  # type: ignore[misc]
            assert shown.search(log.read_text()), f"{place}\nshows no\n{wanted}\nbut\n{log.read_text()}"
        if goes_on:
            assert process.poll() in (None, 0), f"{place} ended:\n{log.read_text()}"
        else:
            code = process.wait(PATIENCE)
            assert code == 0, f"{place} ended with {code}:\n{log.read_text()}"

    def shown(self, program: str) -> str:
        """What the newest terminal that runs a program has shown."""
        return next(log.read_text() for command, _, log in reversed(self._running) if program in command)

    def close(self) -> None:
        """Ctrl-C in each, the youngest first."""
        for _, process, _ in reversed(self._running):
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGINT)
        for _, process, _ in self._running:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait(10)


def _heeds_ctrl_c() -> None:
    """As in a terminal: what a script starts in the background, and all below it, would ignore it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def commands(console: str) -> Iterator[tuple[str, list[str]]]:
    """Each command of a console block without its comment, and what is shown below it."""
    typed, seen, again = "", [], ""
    for line in console.splitlines():
        if line.startswith("$ "):
            if typed:
                yield typed, seen
            typed, seen, again = again + without_comment(line[2:]), [], ""
        elif line == "^C":
            again = AGAIN
        elif typed.endswith("\\"):
            typed = f"{typed[:-1]} {without_comment(line)}"
        elif line.strip(" …"):
            seen.append(line)
    if typed:
        yield typed, seen


def without_comment(line: str) -> str:
    return re.sub(r"\s+# .*$", "", line).strip()


def words(command: str) -> Iterator[list[str]]:
    """The programs that a line starts, each with its arguments."""
    scanner = shlex.shlex(command, posix=True, punctuation_chars="|;&<>")
    scanner.whitespace_split = True
    program: list[str] = []
    skip = False
    for word in scanner:
        if set(word) <= set("|;&"):
            yield program
            program = []
        elif set(word) <= set("<>"):
            skip = True
        elif skip:
            skip = False
        else:
            program.append(word)
    yield program


def _wait(process: subprocess.Popen[bytes], seen: Callable[[], bool]) -> None:
    """Until it is seen, the process has ended, or patience has."""
    pause = threading.Event()
    for _ in range(PATIENCE * 20):
        ended = process.poll() is not None
        if seen() or ended:
            return
        pause.wait(0.05)


def _pattern(shown: str) -> re.Pattern[str]:
    parts = (re.escape(" ".join(part.split())) for part in shown.strip().split("…"))
    text = "…".join(parts).replace("\\ ", r"\s+")
    return re.compile(text.replace("…", "[^\n]*"))


def at_broker(url: str) -> Change:
    """The page with another broker than the reader's."""
    host, port = url.removeprefix("mqtt://").split(":")

    def change(text: str) -> str:
        text = text.replace("localhost:1883", f"{host}:{port}")
        text = text.replace('"localhost", 1883', f'"{host}", {port}')
        return text.replace("mosquitto_sub ", f"mosquitto_sub -h {host} -p {port} ")

    return change


@contextmanager
def terminals(folder: Path, change: Change) -> Iterator[Terminals]:
    opened = Terminals(folder, change)
    try:
        yield opened
    finally:
        opened.close()
