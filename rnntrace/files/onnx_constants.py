"""Constants of an ONNX model that its graph works out from what it stores, by the operators in `onnx_operators`."""

import math

import numpy as np

from rnntrace.errors import show
from rnntrace.files.onnx_graph import STANDARD, Value
from rnntrace.files.onnx_operators import OPERATORS, Call, NotConstant, stored
from rnntrace.files.tensors import LONGEST, Total
from rnntrace.model.dtypes import Array


class Constants:
    """Works out values of a model, each once; `total` is how many were read and made in all."""

    def __init__(self) -> None:
        self.total = Total()
        self._known: dict[Value, Array | NotConstant] = {}
        self._quantised: set[Value] = set()

    def value(self, wanted: Value) -> Array:
        """What stands under a name. Raises NotConstant, and FileError where too much is read in all."""
        pending, entered = [wanted], set[Value]()
        while pending:
            current = pending[-1]
            if current not in self._known:
                missing = [source for source in _followed(current) if source not in self._known]
                if missing and current not in entered:
                    entered.add(current)
                    pending += missing
                    continue
                self._known[current] = NotConstant("made of itself") if missing else self._known_or_not(current)
            pending.pop()
        found = self._known[wanted]
        if isinstance(found, NotConstant):
            raise NotConstant(str(found))
        return found

    @property
    def read(self) -> list[Value]:
        """What was met so far."""
        return list(self._known)

    def is_dequantised(self, value: Value) -> bool:
        """Whether a value that was worked out is made of quantised ones."""
        return value in self._quantised

    def _known_or_not(self, value: Value) -> Array | NotConstant:
        try:
            return self._made(value)
        except NotConstant as error:
            # Another one, which does not keep what was there when it was raised.
            return NotConstant(str(error))

    def _made(self, value: Value) -> Array:
        if (tensor := value.whole) is not None:
            # What stands in the file byte by byte takes no more than that.
            self.total.add(0 if tensor.HasField("raw_data") else math.prod(tensor.dims), value.name)
            return stored(show(value.name), tensor)
        node = value.maker
        if node is None:
            raise NotConstant(f"made of {show(value.name)}, which the model is given when it runs")
        name = show(node.op_type)
        if node.op_type not in OPERATORS or node.domain not in STANDARD or list(node.output) != [value.name]:
            raise NotConstant(f"computed by {name}")
        inputs = [None if source is None else self._known[source] for source in value.sources]
        if wrong := next((found for found in inputs if isinstance(found, NotConstant)), None):
            raise NotConstant(str(wrong))
        try:
            with np.errstate(all="ignore"):
                made = OPERATORS[node.op_type](Call(value.scope.values_of(node), inputs, self.total.add))
        except (ValueError, TypeError, IndexError, KeyError, ArithmeticError, AttributeError, AssertionError) as error:
            why = show(str(error).partition("\n")[0])[:LONGEST]
            raise NotConstant(f"computed by {name}, which cannot be done: {why}") from None
        if node.op_type == "DequantizeLinear" or self._quantised.intersection(value.sources):
            self._quantised.add(value)
        return made


def _followed(value: Value) -> list[Value]:
    """What has to be worked out before."""
    node = value.maker
    known = node is not None and node.op_type in OPERATORS and node.domain in STANDARD
    return [source for source in value.sources if source is not None] if known else []
