"""On what a network computes, and how finely: processor or CUDA, float32 or bfloat16."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from iot_stream.config.learning import Hardware
from iot_stream.errors import ModelError

LARGE = 50_000  # parameters; below, what a GPU or matrix units save goes on starting them
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Engine:
    device: torch.device
    bfloat16: bool

    @classmethod
    def of(cls, settings: Hardware, model: nn.Module) -> "Engine":
        """What the settings choose; with `auto`, what pays for a network of this size. Raises ModelError."""
        large = sum(weight.numel() for weight in model.parameters()) >= LARGE
        there = torch.cuda.is_available()
        if settings.device == "cuda" and not there:
            raise ModelError(
                "device: cuda: PyTorch finds no CUDA device here; take `device: auto`, which then is the "
                "processor, or look at the driver and at what `python -m torch.utils.collect_env` says"
            )
        cuda = settings.device == "cuda" or (settings.device == "auto" and there and large)
        device = torch.device("cuda") if cuda else CPU
        if settings.precision == "auto":
            return cls(device, large and _has_matrix_units(device))
        return cls(device, settings.precision == "bfloat16")

    def put(self, values: NDArray[Any]) -> Tensor:
        """An array where it computes; to a GPU from pinned memory, so that the copy does not wait."""
        tensor = torch.from_numpy(np.ascontiguousarray(values))
        return tensor if self.device == CPU else tensor.pin_memory().to(self.device, non_blocking=True)

    def autocast(self) -> AbstractContextManager[None]:
        """Products and convolutions in bfloat16, if that was chosen; weights and losses stay float32."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16)

    @contextmanager
    def carrying(self, model: nn.Module, seed: int = 0) -> Iterator[None]:
        """The model on this device, and on the processor again afterwards. What chance there is in it, as of
        dropout, comes from the seed; a GPU takes only kernels that give the same sums each time."""
        with ExitStack() as stack:
            if self.device != CPU:
                stack.enter_context(
                    torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True)
                )
            stack.enter_context(torch.random.fork_rng(devices=[] if self.device == CPU else None))
            torch.manual_seed(seed)
            model.to(self.device)
            try:
                yield
            finally:
                model.to(CPU)


def chance(device: torch.device) -> Tensor:
    """Where the random numbers of a network on that device stand."""
    return torch.get_rng_state() if device == CPU else torch.cuda.get_rng_state(device)


def take_chance(device: torch.device, state: Tensor) -> None:
    if device == CPU:
        torch.set_rng_state(state)
    else:
        torch.cuda.set_rng_state(state, device)


def _has_matrix_units(device: torch.device) -> bool:
    """AMX, or a GPU from Ampere on. Elsewhere it is emulated: on AVX2 a seventh as fast as float32."""
    if device != CPU:
        return torch.cuda.get_device_capability(device) >= (8, 0)
    return bool(torch.cpu.get_capabilities().get("amx_bf16", False))
