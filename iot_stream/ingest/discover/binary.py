"""Pictures, and bytes that may be raw numbers."""

from collections.abc import Iterator, Sequence

import numpy as np

from iot_stream.formats.source import Source
from iot_stream.ingest.discover.heard import Topic
from iot_stream.ingest.discover.proof import Guess
from iot_stream.ingest.discover.templates import alike

PICTURES = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n")
WIDEST = 16  # columns that a guess names
LIKELY = (1e-6, 1e9)  # sizes of numbers that are measured


def frames(topics: Sequence[Topic]) -> Iterator[Guess]:
    for group in alike(topic for topic in topics if any(p.startswith(PICTURES) for p in topic.payloads)):
        source = Source(format="frame", topic=group.template, channels={"p": "16x12"})
        yield Guess(source, group.topics, ("a picture becomes a grid of grey values; choose its size",))


def arrays(topics: Sequence[Topic]) -> Iterator[Guess]:
    """Bytes that are no text and could be numbers: nothing in them says so."""
    for group in alike(topic for topic in topics if topic.kept and not any(topic.texts())):
        payloads = [payload for topic in group.topics for payload in topic.payloads]
        sizes = {len(payload) for payload in payloads}
        if len(sizes) != 1 or not payloads:
            continue
        size = sizes.pop()
        for dtype in ("<f4", "<i2"):
            width = np.dtype(dtype).itemsize
            if (
                size % width
                or size // width > WIDEST
                or not (dtype == "<i2" or all(map(_measured, payloads)))
            ):
                continue
            channels = {f"c{i}": str(i) for i in range(size // width)}
            why = (
                f"a guess, for bytes do not say what they are: all messages have {size}, "
                f"which could be {size // width} {dtype}"
            )
            source = Source(format="array", topic=group.template, channels=channels, dtype=dtype)
            yield Guess(source, group.topics, (why,), sure=False)
            break


def _measured(payload: bytes) -> bool:
    with np.errstate(invalid="ignore"):  # a NaN of another kind
        sizes = np.abs(np.frombuffer(payload, "<f4").astype(np.float64))
    return bool(np.all((sizes == 0) | ((sizes > LIKELY[0]) & (sizes < LIKELY[1]))))
