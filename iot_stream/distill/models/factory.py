"""Models of the user's own: `module:function`, called as (length, channels, classes, seed, **options)."""

import hashlib
import inspect
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import nn

from iot_stream.errors import ModelError


def importable(folder: Path) -> None:
    """The user's modules stand beside the configuration."""
    if (here := str(folder.resolve())) not in sys.path:
        sys.path.insert(0, here)


def imported(name: str) -> Callable[..., Any]:
    """Raises ModelError."""
    module, _, function = name.partition(":")
    try:
        found: Any = getattr(import_module(module), function)
    except Exception as error:  # importing runs the user's code
        raise ModelError(f"factory {name}: {type(error).__name__}: {error}") from error
    if not callable(found):
        raise ModelError(f"factory {name} is no function")
    return found  # type: ignore[no-any-return]


def made(name: str, length: int, channels: int, classes: int, seed: int, **options: object) -> Any:
    """What the factory gives, torch's randomness seeded; raises ModelError."""
    make = imported(name)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            return make(length, channels, classes, seed, **options)
        except Exception as error:  # whatever the user's code does
            raise ModelError(f"factory {name}: {type(error).__name__}: {error}") from error


def network(name: str, length: int, channels: int, classes: int, seed: int, **options: object) -> nn.Module:
    """A module that maps (n, length, channels) to logits (n, classes); raises ModelError."""
    module = made(name, length, channels, classes, seed, **options)
    if not isinstance(module, nn.Module):
        raise ModelError(f"factory {name} gave a {type(module).__name__}; a torch.nn.Module is needed here")
    training = module.training
    try:
        with torch.no_grad():
            found = module.eval()(torch.zeros(2, length, channels))
    except Exception as error:
        what = f"{type(error).__name__}: {error}"
        raise ModelError(f"factory {name}: fed with (2, {length}, {channels}): {what}") from error
    finally:
        module.train(training)
    shape = tuple(getattr(found, "shape", ()))
    if shape != (2, classes):
        raise ModelError(f"factory {name}: fed with 2 windows it gives shape {shape}, not (2, {classes})")
    return module


def source_hash(name: str) -> str:
    """Of the module that the factory stands in: another text is another model."""
    path = inspect.getsourcefile(inspect.unwrap(imported(name)))
    return hashlib.sha256(Path(path).read_bytes()).hexdigest() if path else ""
