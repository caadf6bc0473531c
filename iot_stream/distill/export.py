"""From a trained model to what travels: folded, as named weights, and as a graph without weights.

A student is trained with batch norm and released without: `fold` makes the copy that a device runs. The
next round starts from the unfolded net, whose `named_weights` (running statistics among them) are kept
beside the release; training the folded net on instead recovers markedly slower after a drift.
"""

import copy
import io
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from iot_stream.errors import ModelError

INPUT = "x"
OUTPUT = "logits"


def fold(model: nn.Module) -> nn.Module:
    """A copy in eval mode, each batch norm folded into the convolution or linear layer before it.

    It computes what `model.eval()` computes. Raises ModelError where a batch norm follows neither.
    """
    folded = copy.deepcopy(model).eval()
    for parent in list(folded.modules()):
        previous: tuple[str, nn.Module] | None = None
        for name, child in list(parent.named_children()):
            if isinstance(child, _BatchNorm):
                if previous is None:
                    raise ModelError(f"cannot fold batch norm {name!r}: no convolution stands before it")
                setattr(parent, previous[0], _fused(previous[1], child, name))
                setattr(parent, name, nn.Identity())
            previous = (name, child)
    return folded


def _fused(layer: nn.Module, norm: _BatchNorm, name: str) -> nn.Module:
    if isinstance(layer, nn.Linear):
        return fuse_linear_bn_eval(layer, norm)
    if isinstance(layer, nn.Conv1d | nn.Conv2d):
        return fuse_conv_bn_eval(layer, norm)
    raise ModelError(f"cannot fold batch norm {name!r} into a {type(layer).__name__}")


def named_weights(model: nn.Module) -> dict[str, NDArray[np.float32]]:
    """Copies of all floating-point tensors of a model's state, by name, float32."""
    return {
        name: np.array(tensor.detach().numpy(), dtype=np.float32)
        for name, tensor in model.state_dict().items()
        if tensor.is_floating_point()
    }


def load_weights(model: nn.Module, weights: Mapping[str, NDArray[np.float32]]) -> nn.Module:
    """Puts `named_weights` into a model of the same architecture; returns it in eval mode.

    Raises ModelError, naming the tensors, if names or shapes differ; the model is then unchanged.
    """
    state = {name: tensor for name, tensor in model.state_dict().items() if tensor.is_floating_point()}
    if state.keys() != weights.keys():
        raise ModelError(f"weights of another architecture: {sorted(state.keys() ^ weights.keys())} differ")
    for name, tensor in state.items():
        if tuple(tensor.shape) != weights[name].shape:
            raise ModelError(f"weight {name} has shape {weights[name].shape}, not {tuple(tensor.shape)}")
    with torch.no_grad():
        for name, tensor in state.items():
            tensor.copy_(torch.from_numpy(np.array(weights[name], dtype=np.float32)))
    return model.eval()


class _WeightsAsInputs(nn.Module):
    """Calls a model with weights that are arguments of its forward."""

    def __init__(self, model: nn.Module, names: list[str]) -> None:
        super().__init__()
        self._model = [model]  # in a list, so that its weights are not this module's own
        self._names = names

    def forward(self, x: Tensor, *weights: Tensor) -> Tensor:
        named = dict(zip(self._names, weights, strict=True))
        return torch.func.functional_call(self._model[0], named, (x,))  # type: ignore[no-any-return]


def graph(model: nn.Module, length: int, channels: int) -> bytes:
    """ONNX of a folded model, without weights: inputs `x` (n, length, channels) and each weight by name.

    The same architecture gives the same bytes whatever its weights. Takes seconds: do it once an
    architecture. Raises ModelError for a model that still holds batch norm, or that cannot be exported.
    """
    if any(isinstance(module, _BatchNorm) for module in model.modules()):
        raise ModelError("fold the model before exporting its graph")
    if fixed := named_weights(model).keys() - {name for name, _ in model.named_parameters()}:
        raise ModelError(
            f"{min(fixed)} is a buffer, which no update could carry: make it a parameter, or persistent=False"
        )
    weights = {name: weight.detach() for name, weight in model.named_parameters()}
    names = list(weights)
    example = (torch.zeros(2, length, channels), *weights.values())
    try:
        with _quiet(), torch.no_grad():
            program = torch.onnx.export(
                _WeightsAsInputs(model, names).eval(),
                example,
                input_names=[INPUT, *names],
                output_names=[OUTPUT],
                dynamic_shapes={"x": {0: torch.export.Dim("n")}, "weights": tuple({} for _ in names)},
                dynamo=True,
                verbose=False,
            )
    except Exception as error:  # a student of the user's may hold anything; the exporter's errors differ
        what = str(error).strip().split("\n")[0]
        raise ModelError(f"this student cannot be exported to ONNX: {what}") from error
    if program is None:
        raise ModelError("the exporter returned no graph")
    return _stripped(program.model_proto)


def _stripped(model: onnx.ModelProto) -> bytes:
    """Only what computes: no producer's notes, paths or stack traces; deterministic bytes."""
    model.ClearField("metadata_props")
    model.ClearField("doc_string")
    model.graph.ClearField("doc_string")
    model.graph.ClearField("metadata_props")
    for node in model.graph.node:
        node.ClearField("metadata_props")
        node.ClearField("doc_string")
    for value in [*model.graph.input, *model.graph.output, *model.graph.value_info]:
        value.ClearField("metadata_props")
    return bytes(model.SerializeToString(deterministic=True))


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporter reports progress on stdout and known shortcomings as warnings: neither concerns a user."""
    previous = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(previous)
