"""Told first, learnt later: what a peer says of each window by what it knew at the window's end."""

import numpy as np

from iot_stream.evaluate.peers.peer import Classes, Peer, Rows
from iot_stream.readings import Times


def said(peer: Peer, x: Rows, ends: Times, lessons: Classes, y: Classes, acts: Times) -> Classes:
    """Classes (n,) of windows `x` (n, features) that end at `ends` (n,).

    `lessons` (m,) are rows of `x` whose classes `y` (m,) it learns, in order of `acts` (m,), which is never
    before the row's own end: windows that end after that moment are told with the lesson learnt. Those of one
    moment are learnt together.
    """
    order = np.argsort(ends, kind="stable")
    found = np.full(len(x), -1, np.int64)
    told = 0
    moments, firsts = np.unique(acts, return_index=True)
    for moment, rows, classes in zip(
        moments.tolist(), _pieces(lessons, firsts), _pieces(y, firsts), strict=True
    ):
        until = int(np.searchsorted(ends[order], moment, side="right"))
        if until == len(order):
            break  # no window is left to tell by it
        if until > told:
            found[order[told:until]] = peer.predict(x[order[told:until]])
            told = until
        peer.learn(x[rows], classes)
    if told < len(order):
        found[order[told:]] = peer.predict(x[order[told:]])
    return found


def _pieces(values: Classes, firsts: Classes) -> list[Classes]:
    return np.split(values, firsts[1:]) if len(firsts) else []
