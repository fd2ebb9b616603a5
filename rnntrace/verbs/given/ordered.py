"""Signals whose order of axes nobody named: the module's own or, where that does not fit, the only one that does."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import TypeVar

import numpy as np

from rnntrace.errors import SignalError
from rnntrace.model.axes import Axes, orders
from rnntrace.model.signals import assemble
from rnntrace.model.spec import ModuleSpec
from rnntrace.verbs.given.sources import Sources

T = TypeVar("T")


def ordered(spec: ModuleSpec, sources: Sources) -> Sources:
    """The signals in the module's own layout, whatever order of axes they have in a file. Raises SignalError if none fits."""

    def fitting(sources: Sources) -> Sources:
        assemble(spec, sources.request, np.zeros, quantities=0)
        return sources

    return sources if sources.request.x is None else read_in_order(spec, sources, fitting)


def read_in_order(spec: ModuleSpec, sources: Sources, read: Callable[[Sources], T]) -> T:
    """What is read of signals, and of outputs beside them, in the module's own order of axes if that fits, whatever else does.

    Else in the only order that fits, which is said in a remark. Raises SignalError as `read` does, and names the orders if
    several fit.
    """
    try:
        return read(sources)
    except SignalError as error:
        x = sources.request.x
        if sources.axes or x is None or sources.input_size:
            raise
        found: dict[Axes, T] = {}
        for axes in orders(x.ndim):
            with suppress(SignalError):
                found[axes] = read(_said(sources.in_order(axes, spec.batch_first), axes, x.shape))
        if len(found) > 1:
            raise SignalError(f"{error}; it fits as {' or '.join(map(str, found))}: say which with `axes`") from None
        if not found:
            raise
    return next(iter(found.values()))


def _said(sources: Sources, axes: Axes, shape: tuple[int, ...]) -> Sources:
    remark = f"x has shape {shape}: it was taken for ({', '.join(axes.order)}), the only order of axes in which everything fits"
    return replace(sources, warnings=(*sources.warnings, remark))
