"""A teacher behind HTTP: windows are posted in batches, as JSON; the answer is a row of logits for each.

    POST {"windows": [[[…channels…], …readings…], …]}  →  {"logits": [[…classes…], …]}

A service that is down or slow is asked again after a pause that grows; when it stays away, what is raised is
an OSError, and the windows wait for it. Whatever else is wrong stops with the service's own words.
"""

import http.client
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

BUSY = (429, 502, 503, 504)


def build(
    _length: int,
    _channels: int,
    _classes: int,
    _seed: int,
    *,
    url: str,
    timeout: float = 10.0,
    retries: int = 3,
    pause: float = 1.0,
    batch: int = 256,
) -> Callable[[NDArray[np.float32]], NDArray[np.float64]]:
    """`timeout` and `pause` in seconds; `batch` windows a request."""

    def speak(windows: NDArray[np.float32]) -> NDArray[np.float64]:
        starts = range(0, len(windows), batch)
        return np.concatenate([_asked(windows[begin : begin + batch]) for begin in starts])

    def _asked(windows: NDArray[np.float32]) -> NDArray[np.float64]:
        known = np.where(np.isnan(windows), None, windows.astype(object))  # JSON has no NaN
        body = json.dumps({"windows": known.tolist()}).encode()
        request = urllib.request.Request(url, body, {"Content-Type": "application/json"})  # noqa: S310  a setting
        for attempt in range(retries + 1):
            if attempt:
                time.sleep(pause * 2 ** (attempt - 1))
            try:
                with urllib.request.urlopen(request, timeout=timeout) as answer:  # noqa: S310
                    return np.array(json.load(answer)["logits"], np.float64)
            except urllib.error.HTTPError as error:
                with error:
                    said = error.read(500).decode(errors="replace")
                if error.code not in BUSY:
                    raise ValueError(f"{url}: {error.code} {said}") from error
                away: Exception = error
            except (OSError, http.client.HTTPException) as error:
                away = error
        raise ConnectionError(f"{url} was asked {retries + 1} times: {away}") from away

    return speak
