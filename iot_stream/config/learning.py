"""How teacher and student learn: settings of the stages training, distillation and fusion."""

from typing import Annotated

import msgspec
from msgspec import Meta


class Hardware(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """On what a network computes, and how finely."""

    device: Annotated[
        str,
        Meta(
            pattern="^(auto|cpu|cuda)$",
            description="cpu, cuda, or auto: cuda where there is one, for networks of 50,000 parameters or "
            "more",
        ),
    ] = "auto"
    precision: Annotated[
        str,
        Meta(
            pattern="^(auto|float32|bfloat16)$",
            description="float32, bfloat16, or auto: bfloat16 where the device has matrix units for it (AMX, "
            "CUDA), for networks of 50,000 parameters or more",
        ),
    ] = "auto"


class TrainSettings(Hardware, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How the teacher is trained on labels (stage *training*)."""

    steps: Annotated[int, Meta(ge=1, description="AdamW steps")] = 600
    batch: Annotated[int, Meta(ge=2, description="Windows a step")] = 64
    rate: Annotated[float, Meta(gt=0, description="Peak learning rate")] = 3e-3
    weight_decay: Annotated[float, Meta(ge=0, description="AdamW's decoupled weight decay")] = 1e-2
    schedule: Annotated[str, Meta(pattern="^(cosine|constant)$", description="cosine or constant rate")] = (
        "cosine"
    )
    tune_steps: Annotated[
        int, Meta(ge=0, description="Each round: steps of fine-tuning on the labels that have come; 0: never")
    ] = 0
    tune_rate: Annotated[float, Meta(gt=0, description="Learning rate of fine-tuning")] = 1e-3
    tune_share: Annotated[
        float, Meta(gt=0, le=1, description="Share of late labels in a batch; the rest is the bootstrap's")
    ] = 0.5


class SearchSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How a round looks for its α, β, T and rate (stage *fusion*): by successive halving."""

    candidates: Annotated[int, Meta(ge=2, description="Settings to try; the first is as configured")] = 9
    steps: Annotated[int, Meta(ge=1, description="Budget of all trials together, in steps of training")] = 600
    keep: Annotated[int, Meta(ge=2, description="Of so many one stays, from rung to rung")] = 3


class DistillSettings(Hardware, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How a student learns from the teacher: `L = α·T²·KL(P‖Q) + β·L_s` (stages *distillation*, *fusion*)."""

    loss: Annotated[
        str,
        Meta(
            description="Distillation loss: kd, binary, decoupled, dist, hints, logit_mse or standardised "
            "(docs/losses.md)"
        ),
    ] = "kd"
    loss_weights: Annotated[
        dict[str, Annotated[float, Meta(ge=0)]],
        Meta(description="Part of the loss → weight, where it is not to be its paper's"),
    ] = msgspec.field(default_factory=dict)
    temperature: Annotated[float, Meta(gt=0, description="T: softens teacher's and student's outputs")] = 2.0
    alpha: Annotated[float, Meta(ge=0, description="α: weight of the teacher's word")] = 1.0
    beta: Annotated[float, Meta(ge=0, description="β: weight of labels, where there are any")] = 0.0
    first_steps: Annotated[int, Meta(ge=1, description="Steps of the first distillation, from scratch")] = (
        1000
    )
    steps: Annotated[int, Meta(ge=1, description="Steps of a round, from the student of the last")] = 200
    batch: Annotated[int, Meta(ge=2, description="Windows a step")] = 64
    rate: Annotated[float, Meta(gt=0, description="Peak learning rate")] = 1e-2
    weight_decay: Annotated[float, Meta(ge=0, description="AdamW's decoupled weight decay")] = 0.0
    schedule: Annotated[str, Meta(pattern="^(cosine|constant)$", description="cosine or constant rate")] = (
        "cosine"
    )
    plateau: Annotated[
        float,
        Meta(
            ge=0,
            lt=1,
            description="Early stop: where a tenth of the steps lowers the loss by less than this share, the "
            "rate falls to 0 within another tenth, and training ends; 0: never",
        ),
    ] = 0.0
    ema: Annotated[float, Meta(ge=0, lt=1, description="Decay of the moving average of weights; 0: off")] = (
        0.0
    )
    pull: Annotated[
        float, Meta(ge=0, le=1, description="ρ: a round starts at (1 − ρ)·released + ρ·first student")
    ] = 0.0
    average: Annotated[
        int,
        Meta(
            ge=0, description="So many of the last released students are averaged with the candidate; 0: none"
        ),
    ] = 0
    renormalise: Annotated[
        bool,
        Meta(
            description="Each round a second candidate learns under mean and scale of the recent windows, no "
            "label needed; it is taken where it passes the gate and gains more (docs/rounds.md)"
        ),
    ] = False
    search: Annotated[
        SearchSettings | None,
        Meta(description="Look for α, β, T and rate in each round; left out: no search"),
    ] = None

    @property
    def of_features(self) -> bool:
        """Whether the loss compares hidden layers, so that the teacher has to see the windows once more."""
        return self.loss == "hints" and self.alpha > 0
