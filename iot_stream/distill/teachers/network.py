"""A built-in network as teacher: trained on labels, fine-tuned on later ones, else always in eval mode."""

import copy
from dataclasses import dataclass, field

import msgspec
import numpy as np
import torch
from torch import nn

from iot_stream.config import Network
from iot_stream.config.learning import Hardware, TrainSettings
from iot_stream.distill.checkpoints import Checkpoints
from iot_stream.distill.models import architectures, build
from iot_stream.distill.teachers.member import KINDS, NO_COST, Lessons, State
from iot_stream.distill.trainer import Progress, Trained, predict, train_supervised
from iot_stream.readings import Values
from iot_stream.spec import Spec


@dataclass(frozen=True)
class NetworkMember:
    module: nn.Module
    hardware: Hardware = field(default_factory=Hardware)

    @classmethod
    def trained(
        cls,
        network: Network,
        spec: Spec,
        lessons: Lessons,
        settings: TrainSettings,
        seed: int,
        progress: Progress | None,
        checkpoints: Checkpoints | None,
    ) -> tuple["NetworkMember", Trained]:
        module = _build(network, spec, seed)
        cost = train_supervised(
            module, lessons.x, lessons.y, settings, seed, progress, checkpoints=checkpoints
        )
        return cls(module, settings), cost

    @classmethod
    def restored(cls, network: Network, spec: Spec, state: State, hardware: Hardware) -> "NetworkMember":
        module = _build(network, spec, 0)
        module.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in state.items()})
        return cls(module.eval(), hardware)

    @property
    def parameters(self) -> int:
        return sum(parameter.numel() for parameter in self.module.parameters())

    def logits(self, x: Values) -> Values:
        return predict(self.module, x, hardware=self.hardware)

    def tuned(
        self, fresh: Lessons, known: Lessons, settings: TrainSettings, seed: int, /
    ) -> tuple["NetworkMember", Trained]:
        """After `settings.tune_steps`, of which a batch has `settings.tune_share` of fresh lessons."""
        fresh, known = fresh.labelled, known.labelled
        if not len(fresh.y):
            return self, NO_COST
        module, share = copy.deepcopy(self.module), settings.tune_share
        weights = [
            share * fresh.counts / fresh.counts.sum(),
            np.full(len(known.y), (1 - share) / max(1, len(known.y))),
        ]
        cost = train_supervised(
            module,
            np.concatenate([fresh.x, known.x]),
            np.concatenate([fresh.y, known.y]),
            msgspec.structs.replace(settings, steps=settings.tune_steps, rate=settings.tune_rate),
            seed,
            weights=np.concatenate(weights),
        )
        return NetworkMember(module, settings), cost

    def state(self) -> State:
        return {name: value.numpy() for name, value in self.module.state_dict().items()}


def _build(network: Network, spec: Spec, seed: int) -> nn.Module:
    shape = spec.cut.length, spec.model_channels, len(spec.classes)
    return build(network.arch, *shape, seed=seed, **dict(network.options))


for _arch in architectures():
    KINDS.register(_arch)(NetworkMember)
