"""Many blocks at once, in columns: between a decoder and the journal an object a message costs more than
all else that is done with it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, compress

import numpy as np
from numpy.typing import NDArray

from iot_stream.readings import Block, Times, Values


@dataclass(frozen=True, slots=True)
class Columns:
    """A row a block, as `Block` describes it. `counts`: how many readings each has; `times` (readings,) and
    `values`, row by row as each block's channels have it, those of the blocks one after the other."""

    devices: list[str]
    channels: list[tuple[str, ...]]
    boots: list[str]
    seqs: list[int]
    sources: list[int]
    stamped: list[bool]
    counts: list[int]
    times: Times
    values: Values

    def __len__(self) -> int:
        return len(self.devices)

    @classmethod
    def of(cls, blocks: Sequence[Block]) -> "Columns":
        times = [block.raw_times for block in blocks]
        values = [block.raw_values for block in blocks]
        if all(isinstance(each, list) for each in values):
            flat = floats(list(chain.from_iterable(values)))
            moments = np.array(list(chain.from_iterable(times)), np.int64)
        else:
            flat = np.concatenate([block.values.ravel() for block in blocks])
            moments = np.concatenate([block.times for block in blocks])
        return cls(
            [block.device for block in blocks],
            [block.channels for block in blocks],
            [block.boot for block in blocks],
            [block.seq for block in blocks],
            [block.source for block in blocks],
            [block.arrival_stamped for block in blocks],
            [len(each) for each in times],
            moments,
            flat,
        )

    @classmethod
    def joined(cls, parts: Iterable["Block | Columns"]) -> "Columns":
        """All of them in their order; there is at least one."""
        pieces: list[Columns] = []
        run: list[Block] = []
        for part in parts:
            if isinstance(part, Block):
                run.append(part)
                continue
            if run:
                pieces.append(cls.of(run))
                run = []
            pieces.append(part)
        if run:
            pieces.append(cls.of(run))
        if len(pieces) == 1:
            return pieces[0]
        return cls(
            list(chain.from_iterable([piece.devices for piece in pieces])),
            list(chain.from_iterable([piece.channels for piece in pieces])),
            list(chain.from_iterable([piece.boots for piece in pieces])),
            list(chain.from_iterable([piece.seqs for piece in pieces])),
            list(chain.from_iterable([piece.sources for piece in pieces])),
            list(chain.from_iterable([piece.stamped for piece in pieces])),
            list(chain.from_iterable([piece.counts for piece in pieces])),
            np.concatenate([piece.times for piece in pieces]),
            np.concatenate([piece.values for piece in pieces]),
        )

    def rows(self, keep: Sequence[bool]) -> "Columns":
        """Those blocks that are to be kept."""
        counts = np.array(self.counts)
        widths = counts * [len(names) for names in self.channels]
        return Columns(
            list(compress(self.devices, keep)),
            list(compress(self.channels, keep)),
            list(compress(self.boots, keep)),
            list(compress(self.seqs, keep)),
            list(compress(self.sources, keep)),
            list(compress(self.stamped, keep)),
            list(compress(self.counts, keep)),
            self.times[np.repeat(keep, counts)],
            self.values[np.repeat(keep, widths)],
        )

    @property
    def firsts(self) -> NDArray[np.int64]:
        """Time of the first reading of each."""
        if max(self.counts) == 1:
            return self.times
        counts = np.array(self.counts)
        return np.asarray(self.times[np.cumsum(counts) - counts])


def floats(values: list[float | None]) -> Values:
    """float32, NaN for what is missing."""
    with np.errstate(over="ignore"):  # becomes infinite, which hygiene marks as missing
        return np.array(values, np.float32)
