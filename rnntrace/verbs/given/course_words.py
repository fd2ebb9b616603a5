"""Arrays in a course's words and axes, put into those of a module."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from rnntrace.errors import FileError, SignalError, show
from rnntrace.files import digits
from rnntrace.files.tensors import Tensors
from rnntrace.model.courses import Course
from rnntrace.model.dtypes import Array
from rnntrace.verbs.given.arrays import label_of

Move = Callable[[str, Array], Array]
"""What brings an array, of this name in torch's words, to the axes of a module."""


def inputs_of(
    course: Course | None, tensors: Tensors, source: Any, *, alone: str, batch_first: bool, turned: bool = True
) -> Tensors:
    """x and initial states: x (time, batch, unit), or (batch, time, unit) where the batch comes first, and states (1, B, H).

    An x of two axes is one step. An array that stands alone is `alone`, whatever its name. They are `turned` unless axes of
    their own were named, or there is no batch. Raises FileError if two arrays become one, and SignalError for an x of another
    number of axes.
    """
    if course is None:
        return tensors
    everything = (*tensors.arrays, *tensors.refused)
    names = {name: alone if len(everything) == 1 else course.starts.get(name, name) for name in everything}

    def move(name: str, array: Array) -> Array:
        array = course.sequence(array)
        if name.lower() != "x":
            return array
        if array.ndim != 3:
            raise SignalError(f"{show(name)} should be a sequence of three axes or a step of two, and has shape {array.shape}")
        return array.swapaxes(0, 1) if batch_first else array

    return renamed(tensors, source, names, move if turned else _as_it_lies)


def results_of(course: Course | None, tensors: Tensors, source: Any, *, batch_first: bool, turned: bool = True) -> Tensors:
    """Outputs, gates and states likewise; what belongs to one step is (batch, unit), and what a head makes is left out.

    Raises FileError if two arrays become one.
    """
    if course is None:
        return tensors
    everything = (*tensors.arrays, *tensors.refused)
    names = {name: course.results.get(name, name) for name in everything if name not in course.softmax}

    def move(_: str, array: Array) -> Array:
        array = course.time_first(array)
        return array.swapaxes(0, 1) if batch_first and array.ndim == 3 else array

    return renamed(tensors, source, names, move if turned else _as_it_lies)


def softmax_of(course: Course | None, tensors: Tensors) -> dict[str, tuple[Array, Array | None]]:
    """What a head made, by the course's word: (time, batch, unit), and half a unit of each value's last digit if typed."""
    if course is None:
        return {}
    typed = {name: tensors.half_units(name, digits.OUTPUTS) for name in tensors.arrays if name in course.softmax}
    return {
        name: (course.sequence(tensors.arrays[name]), None if half is None else course.sequence(half))
        for name, half in typed.items()
    }


def _as_it_lies(_: str, array: Array) -> Array:
    return array


def renamed(tensors: Tensors, source: Any, names: Mapping[str, str], move: Move) -> Tensors:
    """The arrays by other names and in another order of axes, and with them their digits as they were typed."""
    words: dict[str, str] = {}
    for name, word in names.items():
        if words.setdefault(word, name) != name:
            both = f"{show(words[word])[:60]} and {show(name)[:60]}"
            raise FileError(f"{label_of(source)}: {both} both mean {show(word)[:60]}: leave one of them out")
    return replace(
        tensors,
        arrays={
            word: np.ascontiguousarray(move(word, tensors.arrays[own])) for word, own in words.items() if own in tensors.arrays
        },
        dtypes={word: tensors.dtypes[own] for word, own in words.items() if own in tensors.dtypes},
        refused={word: tensors.refused[own] for word, own in words.items() if own in tensors.refused},
        typed={
            word: _moved(tensors.typed[own], tensors.arrays[own], word, move)
            for word, own in words.items()
            if own in tensors.typed
        },
    )


def _moved(texts: Sequence[str], array: Array, word: str, move: Move) -> Sequence[str]:
    """Texts of the numbers of an array in the order in which they are when it has been moved."""
    places = move(word, np.arange(array.size, dtype=np.float64).reshape(array.shape)).ravel().astype(int)
    return [texts[place] for place in places]
