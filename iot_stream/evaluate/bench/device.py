"""What a device costs with each runtime: memory, installation, start, inference and swaps; beside bare
onnxruntime and PyTorch's eager mode."""

import importlib.metadata
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch

from iot_stream.artifact import encodings
from iot_stream.cut import Cut
from iot_stream.device.health import Rules
from iot_stream.device.model import Model
from iot_stream.device.predicting import Predictor
from iot_stream.device.runtime import RUNTIMES, choose
from iot_stream.distill import export
from iot_stream.distill.models import build
from iot_stream.errors import ConfigError
from iot_stream.readings import Values
from iot_stream.spec import Spec

LENGTH, CHANNELS, CLASSES = 128, ("a", "b", "c", "d", "e", "f"), ("x", "y", "z", "w")
ARCH, OPTIONS = "mobilenet1d", {"stem": 16, "widths": [64, 96, 128], "kernel": 9}
RATE_HZ = 1000
COLUMNS = (
    "runtime", "rss_mb", "install_mb", "cold_start_ms", "infer_us", "bare_us", "ratio", "swap_us_p50",
    "swap_us_p99", "missed",
)  # fmt: skip
BASE = ("cryptography", "msgspec", "numpy", "paho-mqtt", "safetensors", "securesystemslib", "tuf", "urllib3")
"""What every device installs; the runtime's own packages come on top."""
OWN = {
    "onnxruntime": ("onnxruntime", "flatbuffers"),
    "numpy": (),
    "litert": ("ai-edge-litert", "flatbuffers"),
}


class Student:
    """One of about 24,000 parameters, as a device gets it: several versions that differ in their weights."""

    def __init__(self, versions: int = 2) -> None:
        self.cut = Cut(CHANNELS, CHANNELS, LENGTH, LENGTH // 2)
        golden = _windows(2).tobytes()
        self.spec = Spec(self.cut, CLASSES, (0.0,) * 6, (1.0,) * 6, golden=golden).encode()
        nets = [build(ARCH, LENGTH, 6, 4, seed=seed, **OPTIONS) for seed in range(versions)]
        self.net = export.fold(nets[0])
        self.graph = export.graph(self.net, LENGTH, 6)
        self.tensors = [export.named_weights(export.fold(net)) for net in nets]
        self.parameters = sum(values.size for values in self.tensors[0].values())

    def model(self, version: int, runtime: str) -> Model:
        weights = encodings.encode("int8", self.tensors[version % len(self.tensors)])
        return Model.build(version, self.graph, self.spec, weights, "int8", runtime)


def rows(passes: int, swaps: int) -> Iterator[dict[str, Any]]:
    """A row for each runtime that is installed: times of one window, medians of `passes`."""
    torch.set_num_threads(1)
    student = Student()
    x = _windows(1)
    bare, eager = _bare(student, x), _eager(student, x)
    for name in RUNTIMES:
        try:
            choose(name)
        except ConfigError:
            continue
        model = student.model(1, name)
        predict, logits = partial(model.runtime.predict, x), partial(model.logits, x)
        infer_us, whole_us, bare_us, eager_us = _us([predict, logits, bare, eager], passes)
        p50, p99, missed = _swaps(student, name, swaps)
        rss_mb, cold_start_ms = _process(student, name)
        yield {
            "runtime": name,
            "parameters": student.parameters,
            "rss_mb": rss_mb,
            "install_mb": round(sum(map(_installed_mb, (*BASE, *OWN[name]))), 1),
            "cold_start_ms": cold_start_ms,
            "infer_us": infer_us,
            "with_normalisation_us": whole_us,
            "bare_us": bare_us,
            "torch_eager_us": eager_us,
            "ratio": round(infer_us / bare_us, 3),
            "swap_us_p50": p50,
            "swap_us_p99": p99,
            "missed": missed,
        }


def _windows(count: int) -> Values:
    return np.random.default_rng(count).normal(size=(count, LENGTH, 6)).astype(np.float32)


def _us(calls: Sequence[Callable[[], object]], passes: int) -> list[float]:
    """Median time of each call. They take turns, for a machine may be twice as fast a second later, and in an
    order of chance, for each leaves the processor's caches to the next."""
    found: list[list[int]] = [[] for _ in calls]
    warm, turns = passes // 10, np.random.default_rng(0)
    for number in range(passes + warm):
        for turn in turns.permutation(len(calls)):
            began = time.perf_counter_ns()
            calls[turn]()
            took = time.perf_counter_ns() - began
            if number >= warm:
                found[turn].append(took)
    return [round(statistics.median(times) / 1000, 1) for times in found]


def _bare(student: Student, x: Values) -> Callable[[], object]:
    """onnxruntime alone, one thread, the weights inside the graph, a plain `run`."""
    import onnx
    from onnx import numpy_helper

    whole = onnx.load_from_string(student.graph)
    tensors = student.tensors[0]
    whole.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in tensors.items())
    inputs = [each for each in whole.graph.input if each.name not in tensors]
    del whole.graph.input[:]
    whole.graph.input.extend(inputs)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        whole.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return lambda: session.run(None, {"x": x})


def _eager(student: Student, x: Values) -> Callable[[], object]:
    window = torch.from_numpy(x)

    def call() -> object:
        with torch.inference_mode():
            return student.net(window)

    return call


def _swaps(student: Student, runtime: str, count: int) -> tuple[float, float, int]:
    """µs for which feeding stood still (median, 99th percentile), and readings in windows that nobody judged,
    while readings come at 1 kHz and versions change all the time."""
    models = [student.model(version, runtime) for version in (1, 2)]
    predictor = Predictor(CHANNELS, Rules(confidence=1.0, slower=1e9))
    predictor.exchange(models[0])
    took: list[float] = []
    ended = threading.Event()

    def swap() -> None:
        for number in range(count):
            took.append(predictor.exchange(models[number % 2]))
            time.sleep(1 / RATE_HZ)
        ended.set()

    changing = threading.Thread(target=swap, name="swaps")
    fed = judged = 0
    values = _windows(1)[0]
    changing.start()
    began = time.monotonic()
    while not ended.is_set():
        times = np.array([fed * 10**6], np.int64)
        said = predictor.feed(times, values[fed % LENGTH][None])
        judged += len(said.windows) if said else 0
        fed += 1
        time.sleep(max(0.0, began + fed / RATE_HZ - time.monotonic()))
    changing.join()
    expected = max(0, (fed - LENGTH) // (LENGTH // 2) + 1)
    return (
        round(statistics.median(took), 1),
        round(float(np.percentile(took, 99)), 1),
        ((expected - judged) * (LENGTH // 2)),
    )


COLD = """
import sys, time
began = time.perf_counter()
from pathlib import Path
import numpy as np
from iot_stream.device.client import DeviceClient
from iot_stream.device.model import Model
parts = [Path(name).read_bytes() for name in sys.argv[2:5]]
model = Model.build(1, *parts, "int8", sys.argv[1])
model.logits(np.zeros((1, 128, 6), np.float32))
took = time.perf_counter() - began
status = Path("/proc/self/status").read_text()
print(took * 1000, int(status.split("VmRSS:")[1].split()[0]) / 1024)
"""


def _process(student: Student, runtime: str) -> tuple[float, float]:
    """MB resident of a process with all of a device's code and the model, and ms from its first import to its
    first inference; medians of five."""
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / name for name in ("graph", "spec", "weights")]
        weights = encodings.encode("int8", student.tensors[0])
        for file, content in zip(files, (student.graph, student.spec, weights), strict=True):
            file.write_bytes(content)
        found = []
        for _ in range(5):
            command = [sys.executable, "-c", COLD, runtime, *map(str, files)]
            said = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
            found.append((float(said[1]), float(said[0])))
    rss_mb, cold_ms = (statistics.median(each) for each in zip(*found, strict=True))
    return round(rss_mb, 1), round(cold_ms)


def _installed_mb(package: str) -> float:
    files = importlib.metadata.files(package) or []
    return sum(path.stat().st_size for file in files if (path := Path(str(file.locate()))).is_file()) / 1e6
