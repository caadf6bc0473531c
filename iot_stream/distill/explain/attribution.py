"""Which inputs drive a student's decision: integrated gradients.

Sundararajan, Taly & Yan, "Axiomatic attribution for deep networks", arXiv 1703.01365 (2017), section 3. The
decision is the log-odds of the class that the student names, F(x) = z_k − log Σ_{j≠k} exp z_j; the baseline
is the bootstrap's mean, zero after normalisation. Completeness (their proposition 1): a window's attributions
add up to F(x) − F(0). From zero the path is a straight line in any linear basis, so the same averaged
gradients attribute to frequencies, and that is complete too.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from iot_stream.distill.explain.bands import Bands
from iot_stream.readings import Values

POINTS = 10
"""Of the path's integral (Gauss–Legendre). Of the demo's student they miss 4 % of the decisions, 256 points
0.1 %; the shares are the same within 0.01."""


@dataclass(frozen=True)
class Attribution:
    """`parts` (n, channels, bands) of the decisions `whole` (n,), F(x) − F(0); one band where short."""

    parts: NDArray[np.float64]
    whole: NDArray[np.float64]

    @property
    def gap(self) -> float:
        """What the parts miss of the whole, as a share: 0 is complete."""
        missed = np.abs(self.parts.sum(axis=(1, 2)) - self.whole).sum()
        return float(missed / max(np.abs(self.whole).sum(), 1e-12))

    def shares(self, axes: tuple[int, ...] = ()) -> NDArray[np.float64]:
        """Mean size of the parts, once they are added up over `axes`, as shares of all of them."""
        size = np.abs(self.parts.sum(axis=axes)).mean(axis=0)
        return np.asarray(size / max(float(size.sum()), 1e-12))


def integrated(
    model: nn.Module, x: Values, bands: Bands | None, points: int = POINTS, batch: int = 256
) -> Attribution:
    """Of windows x (n ≥ 1, length, channels), normalised; the model is run in eval mode, and left as it was.

    `batch`: passes at once, as in training, so that what could be trained can be explained.
    """
    was_training = model.training
    model.eval()
    try:
        inputs = torch.from_numpy(np.ascontiguousarray(x, np.float32))
        with torch.no_grad():
            logits = torch.cat([model(part) for part in torch.split(inputs, batch)])
            named = logits.argmax(dim=1)
            start = model(torch.zeros_like(inputs[:1])).expand_as(logits)
            whole = _odds(logits, named) - _odds(start, named)
        gradients = _averaged(model, inputs, named, points, batch)
    finally:
        model.train(was_training)
    wide, slope = x.astype(np.float64), gradients.double().numpy()
    parts = (wide * slope).sum(axis=1)[:, :, None] if bands is None else bands.products(wide, slope)
    return Attribution(parts, whole.double().numpy())


def _averaged(model: nn.Module, inputs: Tensor, named: Tensor, points: int, batch: int) -> Tensor:
    """∫₀¹ ∂F(αx)/∂x dα by Gauss and Legendre, all points of all windows in batches."""
    nodes, weights = np.polynomial.legendre.leggauss(points)
    places = torch.tensor((nodes + 1) / 2, dtype=inputs.dtype)
    shares = torch.tensor(weights / 2, dtype=inputs.dtype)
    path = (places[:, None, None, None] * inputs).flatten(0, 1)
    gradients = []
    for part, classes in zip(torch.split(path, batch), torch.split(named.repeat(points), batch), strict=True):
        at = part.detach().requires_grad_()
        gradients.append(torch.autograd.grad(_odds(model(at), classes).sum(), at)[0])
    return torch.einsum("p,pnlc->nlc", shares, torch.cat(gradients).reshape(points, *inputs.shape))


def _odds(logits: Tensor, named: Tensor) -> Tensor:
    """Log-odds (n,) of the classes `named` (n,)."""
    own = logits.gather(1, named[:, None])
    others = logits.scatter(1, named[:, None], -torch.inf)
    return own[:, 0] - others.logsumexp(dim=1)
