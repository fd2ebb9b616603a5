"""Weights that a module computes whenever it runs, from others that it keeps in their place.

Weight norm keeps g and v, https://pytorch.org/docs/stable/generated/torch.nn.utils.parametrizations.weight_norm.html, and
AWD-LSTM the weight before dropout, https://github.com/salesforce/awd-lstm-lm/blob/master/weight_drop.py.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np

from rnntrace.model.dtypes import DTYPES, Array, rounded
from rnntrace.model.layouts import PARTS, group_by_module

_WEIGHT = rf"(?:{'|'.join(part for part in PARTS if part.startswith('weight'))})(?:_l\d{{1,4}}(?:_reverse)?)?"
_NORMED = (
    (re.compile(rf"(?P<owner>(?:.*\.)?)(?P<weight>{_WEIGHT})_g", re.DOTALL), "g", "v"),
    (re.compile(rf"(?P<owner>(?:.*\.)?)parametrizations\.(?P<weight>{_WEIGHT})\.original0", re.DOTALL), "0", "1"),
)
"""Names of g, the length of each row; how they end, and what v, the row's direction, has there."""
_RAW = re.compile(rf"(?P<owner>(?:.*\.)?)(?P<weight>{_WEIGHT})_raw", re.DOTALL)


@dataclass(frozen=True)
class Computed:
    """A weight of the module that has the prefix `owner`: its numbers, the names that they come from, and how."""

    owner: str
    weight: str
    array: Array
    dtype: str
    sources: tuple[str, ...]
    how: str

    @property
    def name(self) -> str:
        """The name that the weight has in a module of torch."""
        return self.owner + self.weight


def computed(arrays: Mapping[str, Array], dtypes: Mapping[str, str]) -> dict[str, Computed]:
    """Every weight that is computed from others, by its name, among the arrays of a file.

    What is of another form, or would be computed in two ways, is not among them.
    """
    found: dict[str, Computed] = {}
    modules = group_by_module(arrays)
    for name in arrays:
        weight = _normed(name, arrays, dtypes) or _dropped(name, arrays, dtypes, modules)
        if weight is not None:
            found.setdefault(weight.name, weight)
    return found


def _normed(name: str, arrays: Mapping[str, Array], dtypes: Mapping[str, str]) -> Computed | None:
    """The weight whose g this is, if it is one of weight norm row by row."""
    for pattern, ending, of_direction in _NORMED:
        if match := pattern.fullmatch(name):
            direction = name.removesuffix(ending) + of_direction
            g, v = arrays[name], arrays.get(direction)
            if v is None or match["owner"] + match["weight"] in arrays or v.ndim != 2 or g.shape != (len(v), 1):
                return None
            if dtypes[name] != dtypes[direction] or dtypes[name] not in DTYPES:
                return None
            array = rounded(_weight(g, v), DTYPES[dtypes[name]])
            how = "computed from weight norm, g·v/‖v‖"
            return Computed(match["owner"], match["weight"], array, dtypes[name], (name, direction), how)
    return None


def _dropped(name: str, arrays: Mapping[str, Array], dtypes: Mapping[str, str], modules: Collection[str]) -> Computed | None:
    """The weight whose values before dropout these are; `modules` are the prefixes of those that have parameters of torch's.

    A wrapper has the module inside as `module`, and may leave a weight there that was true one training step ago.
    """
    if not (match := _RAW.fullmatch(name)):
        return None
    owner, weight = match["owner"], match["weight"]
    inside = f"{owner}module."
    is_wrapper = inside in modules
    is_there = (inside if is_wrapper else owner) + weight in arrays
    if is_there and not is_wrapper:
        return None
    stale = ", and not from the one beside it, which is out of date" if is_there else ""
    how = f"read from weight drop's _raw, as without dropout{stale}"
    return Computed(inside if is_wrapper else owner, weight, arrays[name], dtypes[name], (name,), how)


def _weight(g: Array, v: Array) -> Array:
    """Weight norm in float64: each row of v, (rows, columns), at the length that g, (rows, 1), says; NaN if v is zero."""
    with np.errstate(all="ignore"):
        weight: Array = v.astype(np.float64)
        largest = np.maximum(weight.max(axis=1, initial=0), -weight.min(axis=1, initial=0))
        # Divided by the largest, no square is too large or too small.
        weight /= np.where(largest > 0, largest, 1)[:, None]
        weight *= g / np.sqrt(np.einsum("ij,ij->i", weight, weight))[:, None]
    return weight
