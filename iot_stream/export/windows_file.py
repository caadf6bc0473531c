"""Windows in a file for other programs: Parquet, CSV or NPZ, written as they are read from the store."""

import csv
import gzip
import io
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from iot_stream.errors import ConfigError
from iot_stream.store.batches import Batch

COLUMNS = ("device", "start", "end", "label", "mixed", "prediction", "p", "version", "teacher")
ROWS, CHUNK = 4096, 65_536  # names, and bytes, that are copied at once


class Shape:
    """What a window is: its length, the names of its inputs, and those of the classes."""

    def __init__(self, length: int, inputs: tuple[str, ...], classes: tuple[str, ...]) -> None:
        self.length, self.inputs, self.classes = length, inputs, classes
        if taken := set(inputs) & set(COLUMNS):
            self.inputs = tuple(f"input_{name}" if name in taken else name for name in inputs)


class Writer(Protocol):
    def write(self, batch: Batch) -> None: ...


def write(path: Path, batches: Iterable[Batch], shape: Shape) -> int:
    """How many windows; the file is there once it is whole. Raises ConfigError for an unknown kind."""
    make = next((make for suffix, make in WRITERS.items() if path.name.lower().endswith(suffix)), None)
    if make is None:
        raise ConfigError(f"--to {path}: a file that ends in {', '.join(WRITERS)}")
    count = 0
    with whole(path) as unfinished, ExitStack() as open_:
        writer = make(unfinished, shape, open_)
        for batch in batches:
            writer.write(batch)
            count += len(batch)
    return count


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A name beside it for what is not finished; at the end it takes the place, in one step."""
    try:
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}-") as folder:
            unfinished = Path(folder) / path.name
            yield unfinished
            unfinished.replace(path)
    except OSError as error:
        raise ConfigError(f"--to {path}: {error.strerror or error}") from error


def _named(classes: tuple[str, ...], values: NDArray[np.int64]) -> list[str | None]:
    """Classes by name; None where nothing was said."""
    names = [*classes, None]  # −1 is the last
    return [names[value] for value in values.tolist()]


def _known(batch: Batch, classes: tuple[str, ...]) -> dict[str, list[Any]]:
    """All but the values, in order of COLUMNS."""
    spoken = (batch.said >= 0).tolist()
    return {
        "device": batch.devices.tolist(),
        "start": batch.starts.tolist(),
        "end": batch.ends.tolist(),
        "label": _named(classes, batch.labels),
        "mixed": batch.mixed.tolist(),
        "prediction": _named(classes, batch.said),
        "p": [p if said else None for p, said in zip(batch.p.tolist(), spoken, strict=True)],
        "version": [v if said else None for v, said in zip(batch.versions.tolist(), spoken, strict=True)],
        "teacher": _named(classes, batch.teacher),
    }


class _Csv:
    """A row a window; a missing value is an empty cell. Values of a window of several readings stand one
    after the other: `x_0`, `x_1`, …"""

    def __init__(self, path: Path, shape: Shape, open_: ExitStack) -> None:
        self._shape = shape
        opener: Any = gzip.open if path.suffix == ".gz" else open
        file = open_.enter_context(opener(path, "wt", newline="", encoding="utf-8"))
        self._rows = csv.writer(file)
        steps = [""] if shape.length == 1 else [f"_{i}" for i in range(shape.length)]
        self._rows.writerow([*COLUMNS, *(f"{name}{step}" for name in shape.inputs for step in steps)])

    def write(self, batch: Batch) -> None:
        known = _known(batch, self._shape.classes)
        known["mixed"] = [int(each) for each in known["mixed"]]
        _, length, inputs = batch.x.shape
        values = batch.x.transpose(0, 2, 1).reshape(len(batch), length * inputs)
        for row, x in zip(zip(*known.values(), strict=True), values, strict=True):
            # str of a float32 is the shortest text that gives the same float32 again
            self._rows.writerow([*row, *("" if np.isnan(v) else str(v) for v in x)])


class _Parquet:
    """A row a window; a column an input, with a list where a window has several readings. Missing is null."""

    def __init__(self, path: Path, shape: Shape, open_: ExitStack) -> None:
        try:
            import pyarrow
            import pyarrow.parquet
        except ImportError as error:
            raise ConfigError("--to: Parquet needs pyarrow: pip install 'iot-stream[parquet]'") from error
        self._arrow, self._shape = pyarrow, shape
        moment, name = pyarrow.timestamp("ns", "UTC"), pyarrow.string()
        kinds = (name, moment, moment, name, pyarrow.bool_(), name, pyarrow.float32(), pyarrow.int64(), name)
        value = pyarrow.float32()
        self._value = value if shape.length == 1 else pyarrow.list_(value, shape.length)
        self._schema = pyarrow.schema(
            [*zip(COLUMNS, kinds, strict=True), *((each, self._value) for each in shape.inputs)],
            metadata={"classes": "\n".join(shape.classes)},
        )
        self._file = open_.enter_context(pyarrow.parquet.ParquetWriter(path, self._schema))

    def write(self, batch: Batch) -> None:
        known = _known(batch, self._shape.classes)
        columns = [
            self._arrow.array(known[each.name], each.type) for each in list(self._schema)[: len(COLUMNS)]
        ]
        for i in range(len(self._shape.inputs)):
            flat = self._arrow.array(batch.x[:, :, i].ravel(), from_pandas=True)  # NaN becomes null
            if self._shape.length > 1:
                flat = self._arrow.FixedSizeListArray.from_arrays(flat, self._shape.length)
            columns.append(flat)
        self._file.write_batch(self._arrow.record_batch(columns, schema=self._schema))


class _Npz:
    """Arrays, for `numpy.load`; classes as indexes, −1 where nothing is known. They go to the disk column by
    column, and into the archive when their length is known."""

    def __init__(self, path: Path, shape: Shape, open_: ExitStack) -> None:
        self._shape, self._path, self._count = shape, path, 0
        self._folder = Path(open_.enter_context(tempfile.TemporaryDirectory(dir=path.parent)))
        self._spilled: dict[str, tuple[IO[bytes], np.dtype[Any], tuple[int, ...]]] = {}
        self._places: dict[str, int] = {}  # of each device
        open_.callback(self._finish)

    def write(self, batch: Batch) -> None:
        for name in np.unique(batch.devices).tolist():
            self._places.setdefault(name, len(self._places))
        places = np.array([self._places[name] for name in batch.devices.tolist()], np.int32)
        self._count += len(batch)
        for name, column in {
            "x": batch.x,
            "missing": np.isnan(batch.x),
            "device": places,
            "start": batch.starts,
            "end": batch.ends,
            "label": batch.labels,
            "mixed": batch.mixed,
            "prediction": batch.said,
            "p": batch.p,
            "version": batch.versions,
            "teacher": batch.teacher,
        }.items():
            if name not in self._spilled:
                self._spilled[name] = ((self._folder / name).open("w+b"), column.dtype, column.shape[1:])
            self._spilled[name][0].write(np.ascontiguousarray(column).tobytes())

    def _finish(self) -> None:
        with zipfile.ZipFile(self._path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, (spilled, kind, shape) in self._spilled.items():
                spilled.seek(0)
                with spilled, archive.open(f"{name}.npy", "w", force_zip64=True) as out:
                    if name == "device":
                        self._devices(spilled, out)
                    else:
                        _header(out, kind, (self._count, *shape))
                        shutil.copyfileobj(spilled, out, CHUNK)
            for name, words in (("inputs", self._shape.inputs), ("classes", self._shape.classes)):
                content = io.BytesIO()
                np.save(content, np.array(words))
                archive.writestr(f"{name}.npy", content.getvalue())

    def _devices(self, spilled: IO[bytes], out: IO[bytes]) -> None:
        names = np.array([*self._places], np.str_)
        _header(out, names.dtype, (self._count,))
        while places := spilled.read(4 * ROWS):
            out.write(names[np.frombuffer(places, np.int32)].tobytes())


def _header(out: IO[bytes], kind: "np.dtype[Any]", shape: tuple[int, ...]) -> None:
    about = {"descr": np.lib.format.dtype_to_descr(kind), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_2_0(out, about)


WRITERS: dict[str, Callable[[Path, Shape, ExitStack], Writer]] = {
    ".parquet": _Parquet,
    ".csv": _Csv,
    ".csv.gz": _Csv,
    ".npz": _Npz,
}
