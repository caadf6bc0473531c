"""Stored windows for torch."""

from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor
from torch.utils.data import IterableDataset, get_worker_info

from iot_stream.errors import ModelError
from iot_stream.store.batches import Batch


class LabelledWindows(IterableDataset[tuple[Tensor, int]]):
    """Each window that has one class from its first reading to its last, and that class."""

    def __init__(self, batches: Callable[[], Iterable[Batch]]) -> None:
        self._batches = batches

    def __iter__(self) -> Iterator[tuple[Tensor, int]]:
        if get_worker_info() is not None:
            raise ModelError("the store is read in one process: leave the loader's `num_workers` at 0")
        for batch in self._batches():
            usable = batch.rows((batch.labels >= 0) & ~batch.mixed)
            yield from zip(torch.from_numpy(usable.x), usable.labels.tolist(), strict=True)
