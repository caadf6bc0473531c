"""UCI's `batchN.dat` files, one measurement a line, into the one CSV file that the configurations read.

    python prepare.py FOLDER                                     # data/gas_drift.csv.gz
    python prepare.py FOLDER --most 85 -o data/part.csv.gz       # the part that ships

FOLDER holds the unpacked "Gas Sensor Array Drift at Different Concentrations" (README.md says where it is).
A line is `gas;ppm 1:value … 128:value`: eight features of the first sensor, eight of the second, and so on.
"""

import argparse
import csv
import gzip
import io
import re
from collections.abc import Iterator
from pathlib import Path

SENSORS, FEATURES = 16, 8
INDEXES = [str(i) for i in range(1, SENSORS * FEATURES + 1)]
COLUMNS = ["batch", "gas", "ppm", *(f"s{s:02d}_f{f}" for s in range(SENSORS) for f in range(FEATURES))]
BATCHES = (1, 2, 3, 4, 5, 6, 8, 9)  # those that the configurations use and the results are of


def rows(path: Path, batch: int) -> Iterator[list[str]]:
    """One batch's rows, as texts under COLUMNS; ends the program at a line of another form.

    Values keep seven digits: what float32, in which readings travel, can hold.
    """
    for number, line in enumerate(path.read_text().splitlines(), 1):
        head, *cells = line.split()
        known = re.fullmatch(r"([1-6]);([\d.]+)", head)
        pairs = [cell.partition(":") for cell in cells]
        if not known or [index for index, _, _ in pairs] != INDEXES:
            raise SystemExit(
                f"{path}, line {number}: {line[:40]!r} is not `gas;ppm 1:value … {INDEXES[-1]}:value`; "
                "the older archive has no concentrations, take the other"
            )
        yield [str(batch), known[1], known[2], *(f"{float(value):.7g}" for _, _, value in pairs)]


def thinned(batch: list[list[str]], most: int) -> list[list[str]]:
    """At most so many rows, evenly over the batch."""
    count = min(most, len(batch))
    return [batch[i * len(batch) // count] for i in range(count)]


def main() -> None:
    parser = argparse.ArgumentParser(description="Makes one CSV file of UCI's batchN.dat files.")
    parser.add_argument("folder", type=Path, help="where batch1.dat … are")
    parser.add_argument("-o", "--out", type=Path, default=Path(__file__).parent / "data" / "gas_drift.csv.gz")
    parser.add_argument("--batches", type=int, nargs="+", default=BATCHES, help="default: %(default)s")
    parser.add_argument("--most", type=int, default=10**9, help="rows of a batch, evenly spread (all)")
    chosen = parser.parse_args()

    text = io.StringIO()
    table = csv.writer(text)
    table.writerow(COLUMNS)
    count = 0
    for batch in chosen.batches:
        path = chosen.folder / f"batch{batch}.dat"
        if not path.is_file():
            raise SystemExit(f"{path} is not there; unpack the archive, or name the --batches that are")
        part = thinned(list(rows(path, batch)), chosen.most)
        table.writerows(part)
        count += len(part)
    chosen.out.parent.mkdir(parents=True, exist_ok=True)
    # No time in gzip's header: the same rows are the same bytes.
    chosen.out.write_bytes(gzip.compress(text.getvalue().encode(), mtime=0))
    print(f"{chosen.out}: {count} rows of batches {', '.join(map(str, chosen.batches))}")


if __name__ == "__main__":
    main()
