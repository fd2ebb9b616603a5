"""What stands around a recurrent node in its graph: the operator that makes its input, and the one that reads its output."""

from collections import deque
from typing import Any

from rnntrace.errors import show
from rnntrace.files.onnx_graph import Scope
from rnntrace.files.onnx_stack import LONGEST, RECURRENT
from rnntrace.model.chain import Before, Behind

_MOVERS = {
    "Identity",
    "Dropout",
    "Transpose",
    "Squeeze",
    "Unsqueeze",
    "Reshape",
    "Flatten",
    "Slice",
    "Gather",
    "Split",
    "Concat",
    "Cast",
}
"""Operators that arrange what they read, if that is their first input. An embedding is a Gather, of which it is the second."""


class Around:
    """Finds the neighbours of the nodes of one graph. None of their operators is replayed."""

    def __init__(self, scope: Scope) -> None:
        self._makers = scope.makers
        self._readers: dict[str, list[Any]] = {}
        for node in scope.nodes:
            for source in dict.fromkeys(node.input):
                self._readers.setdefault(source, []).append(node)
        self._stored = scope.stored

    def before(self, node: Any) -> Before | None:
        """The operator in front of a node, past those that only arrange; None for an input of the graph and another layer."""
        source = node.input[0] if node.input else ""
        for _ in range(LONGEST):
            maker = self._makers.get(source)
            if maker is None or maker.op_type in RECURRENT or not maker.input:
                return None
            if not _moves(maker, source=maker.input[0], stored=source in self._stored or maker.input[0] in self._stored):
                return Before(unknown=_told(maker))
            source = maker.input[0]
        return None

    def behind(self, node: Any) -> Behind:
        """The first operators that read what a node gives, past those that only arrange it."""
        waiting, seen, found = deque(output for output in node.output if output), set[str](), dict[str, None]()
        while waiting and len(seen) < LONGEST:
            name = waiting.popleft()
            for reader in self._readers.get(name, ()) if name not in seen else ():
                if reader.op_type in RECURRENT:
                    continue
                if _moves(reader, source=name, stored=False):
                    waiting.extend(reader.output)
                else:
                    found[_told(reader)] = None
            seen.add(name)
        return Behind(unknown=" and ".join(found))


def _moves(node: Any, *, source: str, stored: bool) -> bool:
    """Whether a node only arranges what it reads under this name; looking up rows of what is stored is more."""
    return node.op_type in _MOVERS and not stored and (node.input[0] == source or node.op_type == "Concat")


def _told(node: Any) -> str:
    return f"{show(node.op_type)[:60]}" + (f" {show(node.name)[:60]}" if node.name and node.name != node.op_type else "")
