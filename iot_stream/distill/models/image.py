"""Windows as images for torchvision's nets, and those nets' pretrained weights."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from iot_stream.errors import ModelError

RANDOM, DOWNLOAD = "none", "download"


class OnImage(nn.Module):
    """A net of images (n, 3, size, size) that takes windows (n, length, channels).

    A window is one channel of an image, rows its readings: resized bilinearly to `size` × `size` and
    repeated three times, so that weights of colour images fit. These were trained on pixels of mean 0 and
    deviation 1 over ImageNet; our inputs are z-scores already and get no further normalisation.

    Where a reading is itself a picture, pixel by pixel in rows of `width`, it keeps its shape; pictures of
    one window lie below each other.
    """

    def __init__(self, net: nn.Module, size: int, width: int, channels: int) -> None:
        super().__init__()
        if size < 1:
            raise ValueError(f"size {size} gives no image; 32 or more suits these nets")
        if width < 0 or (width and channels % width):
            raise ValueError(f"width {width} does not divide {channels} channels; of frames 16x12 it is 16")
        self.net, self.size, self.width = net, size, width

    def forward(self, x: Tensor) -> Tensor:
        if self.width:
            x = x.reshape(x.shape[0], -1, self.width)
        grey = F.interpolate(x.unsqueeze(1), (self.size, self.size), mode="bilinear", align_corners=False)
        colour = grey.expand(-1, 3, -1, -1)
        # This order of memory trains MobileNetV2 1.7 times as fast on a processor.
        return self.net(colour.contiguous(memory_format=torch.channels_last))  # type: ignore[no-any-return]


def initialise(net: nn.Module, weights: str, head: str, download: Callable[[], Mapping[str, Tensor]]) -> None:
    """Fills all of `net` but its head, the tensors whose names begin with `head`, in place.

    `weights` is "none" (the net stays as it was made), "download" (what `download` fetches), or the path of
    a state dict of the same net (`.safetensors`, or what `torch.save` wrote), whose head may have any size.
    Raises ModelError, naming the tensors, if it does not fit; the net is then unchanged.
    """
    if weights == RANDOM:
        return
    state = _downloaded(download) if weights == DOWNLOAD else _read(Path(weights))
    own = net.state_dict()
    body = {name: tensor for name, tensor in own.items() if not name.startswith(head)}
    given = {name: tensor for name, tensor in state.items() if not name.startswith(head)}
    # Old files lack batch norm's counters, and nothing here reads them.
    strange = {name for name in body.keys() ^ given.keys() if not name.endswith("num_batches_tracked")}
    strange |= {name for name in body.keys() & given.keys() if body[name].shape != given[name].shape}
    if strange:
        raise ModelError(
            f"weights: {weights} is of another net: {_listed(strange)} missing, unknown or of another shape"
        )
    net.load_state_dict({**own, **given})


def _downloaded(download: Callable[[], Mapping[str, Tensor]]) -> Mapping[str, Tensor]:
    try:
        return download()
    except (OSError, RuntimeError) as error:  # no network, no room, or another file than was promised
        raise ModelError(
            f"weights: download: torchvision cannot fetch its ImageNet weights ({error}); where there is no "
            "network, fetch the file elsewhere and give its path: `weights: FILE.pth`, or use `weights: none`"
        ) from error


def _read(path: Path) -> Mapping[str, Tensor]:
    try:
        state: Any = (
            safetensors.torch.load_file(path)
            if path.suffix == ".safetensors"
            else torch.load(path, map_location="cpu", weights_only=True)
        )
    except FileNotFoundError as error:
        raise ModelError(f"weights: there is no file {path}; or write none, or download") from error
    except Exception as error:  # torch's reader fails in any way on bytes that it did not write
        raise ModelError(f"weights: {path} cannot be read as a state dict: {error}") from error
    if not isinstance(state, Mapping) or not all(isinstance(each, Tensor) for each in state.values()):
        raise ModelError(f"weights: {path} is no state dict; save `model.state_dict()`, nothing around it")
    return state


def _listed(names: set[str], most: int = 6) -> str:
    listed = ", ".join(sorted(names)[:most])
    return listed if len(names) <= most else f"{listed} and {len(names) - most} more are"
