"""Where each value of a network lies in one block of memory, shared by what is never needed at once."""

import math
from dataclasses import dataclass

from iot_stream.device.runtime.operators import Add, Flat, Relu, Tanh
from iot_stream.device.runtime.plan import Plan
from iot_stream.device.runtime.step import INPUT

IN_PLACE = (Relu, Tanh, Add)


@dataclass
class _Value:
    size: int
    first: int  # the steps between which it is needed
    last: int
    place: int = 0


def arena(plan: Plan) -> tuple[dict[str, int], int]:
    """The place of each value, by name, and the size of all, in floats.

    Greedy by size (Pisarchyk & Lee, arXiv 2001.03288); what changes nothing but the shape, or works value by
    value on what nobody needs any more, stays where its input is.
    """
    last = {name: number for number, step in enumerate(plan.steps) for name in step.inputs}
    last[plan.output] = len(plan.steps)
    values = {INPUT: _Value(math.prod(plan.window), -1, last.get(INPUT, -1))}
    for number, step in enumerate(plan.steps):
        until = last.get(step.output, number)
        source = values[step.inputs[0]]
        if isinstance(step, Flat) or (isinstance(step, IN_PLACE) and source.last == number):
            source.last = max(source.last, until)
            values[step.output] = source
        else:
            values[step.output] = _Value(math.prod(step.shape), number, until)
    placed: list[_Value] = []
    for value in sorted({id(each): each for each in values.values()}.values(), key=lambda each: -each.size):
        others = [each for each in placed if each.first <= value.last and value.first <= each.last]
        for other in sorted(others, key=lambda each: each.place):
            if value.place + value.size <= other.place:
                break
            value.place = max(value.place, other.place + other.size)
        placed.append(value)
    places = {name: value.place for name, value in values.items()}
    return places, max(value.place + value.size for value in placed)
