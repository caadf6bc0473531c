"""Whether readings can be true: what cannot is refused with a countable reason, or marked missing."""

from dataclasses import replace

import numpy as np

from iot_stream.clock import SECOND, iso
from iot_stream.errors import DataError
from iot_stream.readings import Block

MAX_PAYLOAD = 4 * 1024 * 1024
EARLIEST = 946_684_800 * SECOND  # 2000-01-01: a device without a set clock starts in 1970
AHEAD = 86_400 * SECOND


def check_size(payload: bytes) -> None:
    if len(payload) > MAX_PAYLOAD:
        raise DataError("too_large", f"{len(payload)} bytes in one message, at most {MAX_PAYLOAD}")


def clean(block: Block, now: int, error_values: frozenset[float] = frozenset()) -> Block:
    """The block with infinite values and sensors' error codes made missing (NaN).

    `now` is the pipeline's clock, 0 where there is none yet. Raises DataError("absurd_time") for
    times before 2000 or more than a day ahead of `now`, and DataError("empty").
    """
    if not len(block):
        raise DataError("empty", f"no readings from {block.device}")
    low, high = int(block.times.min()), int(block.times.max())
    if low < EARLIEST or (now and high > now + AHEAD):
        absurd = iso(low if low < EARLIEST else high)
        raise DataError("absurd_time", f"{block.device}: {absurd}; is its clock set?")
    bad = ~np.isfinite(block.values)
    if error_values:
        bad |= np.isin(block.values, np.array(list(error_values), np.float32))
    if not bad.any():
        return block
    return replace(block, values=np.where(bad, np.float32(np.nan), block.values))
