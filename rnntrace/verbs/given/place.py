"""A place in a trace, as a user names it."""

from collections.abc import Mapping
from typing import Any

from rnntrace.engine.derivation import Position
from rnntrace.errors import UsageError
from rnntrace.model.dtypes import is_whole
from rnntrace.model.inputs import Inputs
from rnntrace.model.spec import ModuleSpec

PLACE = ("layer", "direction", "t", "item", "unit", "gate")
"""What names a place."""


def position_in(place: Mapping[str, Any], spec: ModuleSpec, inputs: Inputs) -> tuple[Position, str | None]:
    """The position that a place names, and the symbol of one quantity if it names a gate. Raises UsageError."""
    if "t" not in place:
        raise UsageError(f"a place needs a step from t=1 to t={inputs.steps}, with any of {', '.join(PLACE)}")
    for key, choices in (("gate", spec.cell.symbols), ("direction", spec.directions)):
        if key in place and place[key] not in choices:
            raise UsageError(f"{key}={place[key]}, and this {spec.kind} has {', '.join(choices)}")
    symbol = place.get("gate")
    item = _number(place, "item", 0, inputs.batch - 1)
    steps = inputs.lengths[item] if inputs.lengths else inputs.steps
    t = _number(place, "t", 1, steps)
    if inputs.mask is not None and not inputs.mask[t - 1, item]:
        raise UsageError(f"t={t} is masked in item {item}, which hands its state on there: choose a step that counts")
    position = Position(
        layer=_number(place, "layer", 0, spec.num_layers - 1),
        direction=place.get("direction", spec.directions[0]),
        t=t,
        item=item,
        unit=_number(place, "unit", 0, units_of(spec, symbol) - 1),
    )
    return position, symbol


def _number(place: Mapping[str, Any], key: str, first: int, last: int) -> int:
    number = place.get(key, first)
    if not is_whole(number) or not first <= number <= last:
        raise UsageError(f"{key}={number} should be a whole number from {first} to {last}")
    return int(number)


def units_of(spec: ModuleSpec, symbol: str | None) -> int:
    """Number of units of a quantity, by default as many as most have; a projection leaves fewer."""
    return spec.hidden_size if symbol is None else spec.size_of(symbol)
