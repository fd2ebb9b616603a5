"""Arrays in a course's words and axes, put into those of a module."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from rnntrace.errors import SignalError, show
from rnntrace.files import digits
from rnntrace.files.tensors import Tensors, check_distinct
from rnntrace.model.courses import Course
from rnntrace.model.dtypes import Array


def inputs_of(course: Course | None, tensors: Tensors, *, alone: str, batch_first: bool) -> Tensors:
    """x and initial states: x (time, batch, unit), or (batch, time, unit) where the batch comes first, and states (1, B, H).

    An x of two axes is one step. An array that stands alone is `alone`, whatever its name. Raises FileError if two arrays
    become one, and SignalError for what is in neither form.
    """
    if course is None:
        return tensors
    names = {name: course.starts.get(name, name) for name in (*tensors.arrays, *tensors.refused)}
    if len(names) == 1:
        names = dict.fromkeys(names, alone)
    check_distinct(names.values())

    def own(name: str, array: Array) -> Array:
        array = _sequence(course, array)
        if name.lower() != "x":
            return array
        if array.ndim != 3:
            raise SignalError(f"{show(name)} should have the axes of a sequence or of one step, and has shape {array.shape}")
        return array.swapaxes(0, 1) if batch_first else array

    return _renamed(tensors, names, own)


def results_of(course: Course | None, tensors: Tensors, *, batch_first: bool) -> Tensors:
    """Outputs, gates and states likewise; what belongs to one step is (batch, unit), and what a head makes is left out.

    Raises FileError if two arrays become one.
    """
    if course is None:
        return tensors
    everything = (*tensors.arrays, *tensors.refused)
    names = {name: course.results.get(name, name) for name in everything if name not in course.softmax}
    check_distinct(names.values())

    def own(name: str, array: Array) -> Array:
        array = course.time_first(array)
        return array.swapaxes(0, 1) if batch_first and array.ndim == 3 else array

    return _renamed(tensors, names, own)


def softmax_of(course: Course | None, tensors: Tensors) -> dict[str, tuple[Array, Array | None]]:
    """What a head made, by the course's word: (time, batch, unit), and half a unit of each value's last digit if typed."""
    if course is None:
        return {}
    words = [name for name in tensors.arrays if name in course.softmax]
    typed = {name: tensors.half_units(name, digits.OUTPUTS) for name in words}
    return {
        name: (_sequence(course, tensors.arrays[name]), half if half is None else _sequence(course, half))
        for name, half in typed.items()
    }


def _sequence(course: Course, array: Array) -> Array:
    """A sequence, or one step of it, as (time, batch, unit)."""
    array = course.time_first(array)
    return array[None] if array.ndim == 2 else array


def _renamed(tensors: Tensors, names: dict[str, str], own: Any) -> Tensors:
    """The arrays by other names and in another order of axes, and with them their digits as they were typed."""
    arrays = {
        names[name]: np.ascontiguousarray(own(names[name], array)) for name, array in tensors.arrays.items() if name in names
    }
    return replace(
        tensors,
        arrays=arrays,
        dtypes={names[name]: dtype for name, dtype in tensors.dtypes.items() if name in names},
        refused={names[name]: reason for name, reason in tensors.refused.items() if name in names},
        typed={
            names[name]: _moved(texts, tensors.arrays[name], lambda array, name=name: own(names[name], array))
            for name, texts in tensors.typed.items()
            if name in names
        },
    )


def _moved(texts: Sequence[str], array: Array, move: Any) -> Sequence[str]:
    """Texts of the numbers of an array in the order in which they are when it has been moved."""
    places = move(np.arange(array.size, dtype=np.float64).reshape(array.shape)).ravel().astype(int)
    return [texts[place] for place in places]
