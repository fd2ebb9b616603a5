"""Which recurrent nodes of an ONNX graph stand on one another as the layers of one module do."""

import math
from typing import Any

import onnx
from onnx import numpy_helper

from rnntrace.files.onnx_graph import STANDARD, Scope

RECURRENT = {"RNN", "LSTM", "GRU"}
LONGEST = 100
"""Operators between two layers that are looked at."""
FEW = 8
"""Entries of a list of axes or of a shape."""


class Stacking:
    """Finds the recurrent node below another in the same graph."""

    def __init__(self, scope: Scope) -> None:
        self._scope, self._makers = scope, scope.makers

    def below(self, node: Any) -> Any | None:
        """The node whose output sequence this one reads as its X, if nothing but their arrangement is changed on the way.

        Axes are followed: a batch that has become time is another model, and no stack of layers. Nor are nodes that hand on
        their final states as initial ones.
        """
        if RECURRENT & {self._makers[name].op_type for name in node.input[5:7] if name in self._makers}:
            return None
        movers: list[Any] = []
        source = node.input[0] if node.input else ""
        while (maker := self._makers.get(source)) is not None and maker.op_type not in RECURRENT:
            if not maker.input or len(movers) == LONGEST:
                return None
            movers.append(maker)
            source = maker.input[0]
        if maker is None or maker.output[0] != source:
            return None
        axes: list[str] | None = self._axes_of_output(maker)
        for mover in reversed(movers):
            axes = None if axes is None else self._moved(axes, mover)
        wanted = ["b", "t"] if self._attribute(node, "layout", 0) else ["t", "b"]
        return maker if axes is not None and axes[:2] == wanted and axes[2:] in (["h"], ["dh"]) else None

    def _moved(self, axes: list[str], mover: Any) -> list[str] | None:
        """The axes behind an operator; None if it does more than move, or what it does cannot be told."""
        match mover.op_type if mover.domain in STANDARD else None:
            case "Identity" | "Dropout":
                return axes
            case "Transpose":
                order = list(self._attribute(mover, "perm", range(len(axes))[::-1]))
                return [axes[axis] for axis in order] if sorted(order) == list(range(len(axes))) else None
            case "Squeeze":
                gone = self._integers(mover, "axes")
                places = [place for place, axis in enumerate(axes) if axis == "1"]
                if gone is None or not {place % len(axes) for place in gone} <= set(places):
                    return None
                return [axis for place, axis in enumerate(axes) if place not in {one % len(axes) for one in gone}]
            case "Reshape":
                # Whatever sizes it names, values stay in their order; X has three axes.
                shape = self._integers(mover, "shape")
                letters = "".join(axes).replace("1", "")
                return [*letters[:2], letters[2:]] if shape is None or len(shape) == 3 else None
        return None

    def _integers(self, node: Any, name: str) -> list[int] | None:
        """A list of axes or a shape, second input or attribute; None if it is computed or left out."""
        if len(node.input) < 2:
            found = self._attribute(node, name, None)
            return None if found is None else list(found)
        value = self._scope.find(node.input[1])
        tensor: Any = value.tensor
        # The values of an external tensor would be looked for in another file.
        if tensor is None or tensor.data_location == onnx.TensorProto.EXTERNAL or math.prod(tensor.dims) > FEW:
            return None
        tensor = value.whole
        return [int(number) for number in numpy_helper.to_array(tensor).reshape(-1)]

    def _axes_of_output(self, node: Any) -> list[str]:
        """Time, batch, hidden units and the direction, which is an axis of 1 where there is one alone."""
        direction = "d" if self._attribute(node, "direction", b"forward") == b"bidirectional" else "1"
        return ["b", "t", direction, "h"] if self._attribute(node, "layout", 0) else ["t", direction, "b", "h"]

    def _attribute(self, node: Any, name: str, default: Any) -> Any:
        return self._scope.values_of(node).get(name, default)
