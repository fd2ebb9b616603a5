"""Gradients in the words, axes and arrangement of a course or framework, put into those of torch."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from rnntrace.errors import FileError, SignalError, show
from rnntrace.files.tensors import Tensors
from rnntrace.model.arranged import Slot
from rnntrace.model.arranged_gradients import arranged_gradients, has_part, missing_gates, shapes_of
from rnntrace.model.array_names import ARRAY_NAMES
from rnntrace.model.conventions import BY_NAME, TORCH
from rnntrace.model.courses import COURSES
from rnntrace.model.dtypes import Array
from rnntrace.model.layouts import parameter_name, part_shapes
from rnntrace.model.names import Renaming
from rnntrace.model.spec import ModuleSpec
from rnntrace.verbs.given.arrays import label_of
from rnntrace.verbs.given.course_words import renamed

_OF_LOSS = re.compile(r"(dL[_/]?d|d_|∂|grad_|d)(?=.)")
"""How a name says that it is that of a gradient: dL_df, d_f, ∂f, grad_f, df."""


def bare(name: str, known: Mapping[str, Any]) -> str:
    """The name of what a gradient is of: `f` of `dL_df`; the name itself if it is known as it is."""
    match = _OF_LOSS.match(name)
    return name if name in known or match is None else name[match.end() :]


@dataclass(frozen=True)
class GradientWords:
    """The notation of a `layout`, a row of the conventions, for the gradients of a module; torch's words are read beside it.

    Where a course has axes of its own, everything is in them, unless the module is `unbatched`.
    """

    spec: ModuleSpec
    layout: str = TORCH
    unbatched: bool = False

    def handed_in(self, tensors: Tensors, source: Any) -> tuple[Tensors, tuple[str, ...]]:
        """Gradients to be judged by torch's names, and those that are no results of a backward pass, but what it is given.

        Raises FileError where two names mean one gradient, or not all gates have theirs, and SignalError for a wrong shape.
        """
        course = COURSES.get(self.layout)
        upstream = {f"d{word}" for word in course.results} if course else set()
        aside = tuple(name for name in (*tensors.arrays, *tensors.refused) if name in upstream)
        slots = self._slots([name for name in tensors.arrays if name not in aside])
        starts = course.starts if course else {}
        names = {
            name: starts.get(bare(name, starts), name)
            for name in (*tensors.arrays, *tensors.refused)
            if name not in aside and name not in slots.values()
        }
        signals = renamed(tensors, source, names, self._moved)
        return (self._with_parameters(signals, tensors, slots, source) if slots else signals), aside

    def given(self, tensors: Tensors, source: Any, alone: str = "output") -> Tensors:
        """∂L/∂output and those of final states by torch's names; an array without a name is `alone`."""
        course = COURSES.get(self.layout)
        if course is None:
            return tensors
        names = {
            name: alone if not name else course.results.get(bare(name, course.results), name)
            for name in (*tensors.arrays, *tensors.refused)
        }
        return renamed(tensors, source, names, self._moved)

    def _moved(self, name: str, array: Array) -> Array:
        """An array in the axes of a course as it lies in the module: a state with its axis of layers and directions."""
        course = COURSES.get(self.layout)
        if course is None or self.unbatched:
            return array
        ends = {f"{state}{end}": state for state in self.spec.cell.states for end in ("0", "_n")}
        if bare(name, ends) in ends:
            return course.time_first(array)[None] if array.ndim == 2 else array
        array = course.sequence(array)
        return array.swapaxes(0, 1) if self.spec.batch_first and array.ndim == 3 else array

    def _slots(self, names: list[str]) -> dict[Slot, str]:
        """Which of the names are those of parameters in the layout."""
        row = BY_NAME.get(self.layout)
        patterns = ARRAY_NAMES.get(self.layout, ())
        if row is None or not patterns or row.transposed is None or row.keeps != "z" or self.layout == TORCH:
            return {}
        if len(self.spec.layer_directions) > 1 or self.spec.is_custom:
            return {}
        renaming, found = Renaming(patterns), {}
        for name in names:
            read = renaming.read(bare(name, {}))
            slot = None if read is None or read.prefix or read.layer or read.reverse else (read.part, read.gates)
            if slot and has_part(slot, self.spec):
                found[slot] = name
        return found

    def _with_parameters(self, others: Tensors, tensors: Tensors, slots: Mapping[Slot, str], source: Any) -> Tensors:
        row, label = BY_NAME[self.layout], label_of(source)
        name, left = missing_gates(row, self.spec, slots)
        if left:
            raise FileError(
                f"{label}: {show(name)[:60]} is there, and not that of every gate: those of {', '.join(left)} are missing, "
                "in torch's letters; give all of them, or none"
            )
        for slot, name in slots.items():
            shapes, found = shapes_of(row, self.spec, slot), tensors.arrays[name].shape
            if found not in shapes:
                raise SignalError(f"{label}: {show(name)[:60]} should have shape {shapes[0]}, and has shape {found}")

        def arranged(arrays: Mapping[str, Array]) -> dict[str, Array]:
            column = {slot: arrays[name] for slot, name in slots.items()}
            found = arranged_gradients(row, self.spec, column)
            return {self._torchs(name): array.reshape(self._shape(name)) for name, array in found.items()}

        parameters = arranged(tensors.arrays)
        if both := [name for name in parameters if name in others.arrays]:
            raise FileError(f"{label}: there are two gradients of {both[0]}: leave one of them out")
        typed = dict(others.typed)
        if all(name in tensors.typed for name in slots.values()):
            # Texts go where their numbers go.
            texts = [text for name in slots.values() for text in tensors.typed[name]]
            sizes = np.cumsum([0, *(tensors.arrays[name].size for name in slots.values())])
            places = {
                name: np.arange(start, start + tensors.arrays[name].size, dtype=np.float64).reshape(tensors.arrays[name].shape)
                for name, start in zip(slots.values(), sizes, strict=False)
            }
            typed |= {name: [texts[int(place)] for place in array.ravel()] for name, array in arranged(places).items()}
        dtype = tensors.dtypes.get(next(iter(slots.values())), "float64")
        return replace(
            others,
            arrays={**others.arrays, **parameters},
            dtypes={**others.dtypes, **dict.fromkeys(parameters, dtype)},
            typed=typed,
        )

    def _torchs(self, name: str) -> str:
        layer, direction = self.spec.layer_directions[0]
        part = dict(zip(self.spec.shapes(0), part_shapes(self.spec, 0), strict=True))[name]
        return parameter_name(self.spec, part, layer, direction)

    def _shape(self, name: str) -> tuple[int, ...]:
        return dict(zip(self.spec.shapes(0), part_shapes(self.spec, 0).values(), strict=True))[name]
