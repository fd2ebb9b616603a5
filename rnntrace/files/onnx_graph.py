"""The graphs of an ONNX model: its own, those of branches, loops and scans, and those of local functions, call by call.

What a name means depends on where it stands: a branch or a body sees the names around it, a function only what a call hands in.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from mmap import mmap
from typing import Any

import onnx

from rnntrace.errors import FileError, show
from rnntrace.files.protobuf import fields
from rnntrace.files.tensors import check_distinct
from rnntrace.model.limits import MAX_MEMBERS, over

STANDARD = ("", "ai.onnx")
"""How ONNX names its own domain; operators of another domain may share no more than a name."""
DEEPEST = 100
"""Names on the way to a graph inside others."""
MOST_FIELDS = 30 * MAX_MEMBERS
"""Things in a file that are neither nodes nor initializers, and names in all graphs."""
MODEL, GRAPH, FUNCTION, NODE, INITIALIZER, ATTRIBUTE = "model", "graph", "function", "node", "initializer", "attribute"
INSIDE = {
    MODEL: {7: GRAPH, 25: FUNCTION},
    GRAPH: {1: NODE, 5: INITIALIZER},
    FUNCTION: {7: NODE, 11: ATTRIBUTE},
    NODE: {5: ATTRIBUTE},
    ATTRIBUTE: {6: GRAPH, 11: GRAPH},
}
"""By message of ONNX' protobuf: the numbers of those fields that hold such messages, and what these are; see onnx.proto."""


def check_counts(content: bytes | mmap) -> None:
    """Raises FileError for too many nodes or initializers, before they are made: a node may take two bytes of a file."""
    counts = Counter[str]()
    pending = [(MODEL, 0, len(content))]
    while pending:
        message, start, end = pending.pop()
        for number, first, last in fields(content, start, end):
            inner = INSIDE[message].get(number, "")
            counts[inner] += 1
            if counts[inner] > (MAX_MEMBERS if inner in (NODE, INITIALIZER) else MOST_FIELDS):
                raise FileError(f"its nodes or initializers are {over('MAX_MEMBERS', MAX_MEMBERS)}")
            if inner in INSIDE:
                pending.append((inner, first, last))


@dataclass(frozen=True, eq=False)
class Scope:
    """A graph and what its names mean.

    `path` leads to it by readable names, `where` says in words what it is, empty for the model's own graph. `stored` are its
    tensors, `makers` its nodes by what they put out, `inputs` what it gets when it runs. Names that are none of these are those
    of the `outer` graph; a function has none, and its inputs are `bound` to what stands in the call. `attributes` are those of
    the call of the function around it, None where there is none. `long` are those tensors whose numbers are still in the file.
    """

    nodes: Sequence[Any]
    stored: Mapping[str, Any]
    inputs: frozenset[str] = frozenset()
    path: tuple[str, ...] = ()
    where: str = ""
    outer: "Scope | None" = None
    bound: Mapping[str, "Value"] = field(default_factory=dict)
    attributes: Mapping[str, Any] | None = None
    long: Mapping[str, Callable[[], Any]] = field(default_factory=dict)
    makers: Mapping[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        makers = {output: node for node in self.nodes for output in node.output if output}
        object.__setattr__(self, "makers", makers)

    @property
    def size(self) -> int:
        """How many things have a name in it."""
        return sum(map(len, (self.nodes, self.stored, self.inputs, self.attributes or (), self.makers)))

    def find(self, name: str) -> "Value":
        """What a name means here: where it is stored, made or handed in."""
        scope: Scope | None = self
        while scope is not None:
            if name in scope.bound:
                return scope.bound[name]
            if name in scope.stored or name in scope.makers or name in scope.inputs:
                return Value(scope, name)
            scope = scope.outer
        return Value(self, name)

    def attributes_of(self, node: Any) -> dict[str, Any]:
        """The attributes of one of its nodes; in a function some are those of the call, or left out as there."""
        found: dict[str, Any] = {}
        for one in node.attribute:
            if one.ref_attr_name and self.attributes is None:
                raise FileError(f"the attribute {show(one.name)} of a node is that of a function, and there is none around it")
            found[one.name] = (self.attributes or {}).get(one.ref_attr_name) if one.ref_attr_name else one
        return {name: one for name, one in found.items() if one is not None}

    def values_of(self, node: Any) -> dict[str, Any]:
        """The same as Python's own values."""
        return {name: onnx.helper.get_attribute_value(one) for name, one in self.attributes_of(node).items()}


@dataclass(frozen=True)
class Value:
    """A name in the graph in which it is stored, made or handed in."""

    scope: Scope
    name: str

    @property
    def tensor(self) -> Any | None:
        """What is stored under the name, perhaps without its numbers: see `whole`."""
        return self.scope.stored.get(self.name)

    @property
    def whole(self) -> Any | None:
        """What is stored under the name, with its numbers."""
        return self.scope.long[self.name]() if self.name in self.scope.long else self.tensor

    @property
    def maker(self) -> Any | None:
        """The node that makes it, if it is not stored."""
        return None if self.name in self.scope.stored else self.scope.makers.get(self.name)

    @property
    def sources(self) -> tuple["Value | None", ...]:
        """What its maker reads; None for an input that is left out."""
        node = self.maker
        return () if node is None else tuple(self.scope.find(name) if name else None for name in node.input)


def scopes(model: Any, long: Mapping[str, Callable[[], Any]]) -> list[Scope]:
    """The graph of a model, with its `long` tensors, and all that stand inside it.

    Raises FileError if they are too many or too deep.
    """
    check_distinct(" ".join(_function(one, one.name)) for one in model.functions)
    functions = {_function(one, one.name): one for one in model.functions}
    found = [replace(_graph(model.graph), long=long)]
    nodes, names = len(model.graph.node), found[0].size
    for scope in found:
        holders = [node for node in scope.nodes if _holds(node, functions)]
        for node, name in zip(holders, distinct(node.name or node.op_type for node in holders), strict=True):
            # A function is counted call by call: a few that call one another can be very many.
            for inner in _inside(scope, node, name, functions):
                nodes, names = nodes + len(inner.nodes), names + inner.size
                if nodes > MAX_MEMBERS or names > MOST_FIELDS:
                    raise FileError(f"the nodes of it and of its branches are {over('MAX_MEMBERS', MAX_MEMBERS)}")
                if len(inner.path) > DEEPEST:
                    raise FileError("its branches, loops or functions stand too deep inside one another, or call themselves")
                found.append(inner)
    return found


Functions = Mapping[tuple[str, str, str], Any]
"""The local functions of a model by domain, name and overload."""


def _function(one: Any, name: str) -> tuple[str, str, str]:
    """Which function one is, or a node calls."""
    return one.domain, name, one.overload


def _holds(node: Any, functions: Functions) -> bool:
    return _function(node, node.op_type) in functions or any(one.HasField("g") or one.graphs for one in node.attribute)


def _inside(scope: Scope, node: Any, name: str, functions: Functions) -> Iterator[Scope]:
    """The bodies of a node, and that of the function which it calls."""
    for attribute in node.attribute:
        words = f"the {show(attribute.name)} of {'an' if node.op_type == 'If' else 'a'} {show(node.op_type)}"
        graphs = [*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs]
        for graph, last in zip(graphs, distinct([attribute.name.removesuffix("_branch")] * len(graphs)), strict=True):
            yield _graph(graph, (*scope.path, name, last), words, scope)
    if function := functions.get(_function(node, node.op_type)):
        defaults = {one.name: one for one in function.attribute_proto}
        yield Scope(
            function.node,
            _constants(function.node),
            frozenset(function.input),
            (*scope.path, name),
            f"the function {show(function.name)}",
            bound={inner: scope.find(name) for inner, name in zip(function.input, node.input, strict=False) if name},
            attributes=defaults | scope.attributes_of(node),
        )


def _graph(graph: Any, path: tuple[str, ...] = (), where: str = "", outer: Scope | None = None) -> Scope:
    check_distinct(tensor.name for tensor in graph.initializer)
    stored = {tensor.name: tensor for tensor in graph.initializer} | _constants(graph.node)
    inputs = frozenset(one.name for one in graph.input)
    return Scope(graph.node, stored, inputs, path, where, outer, attributes=outer.attributes if outer else None)


def _constants(nodes: Iterable[Any]) -> dict[str, Any]:
    """Tensors in nodes that are constants."""
    constants = [node for node in nodes if node.op_type == "Constant" and node.domain in STANDARD and node.output]
    return {node.output[0]: one.t for node in constants for one in node.attribute if one.name == "value" and one.HasField("t")}


def distinct(names: Iterable[str]) -> list[str]:
    """The names, with a number behind each that was there before."""
    found: dict[str, None] = {}
    for name in names:
        numbered = (f"{name}_{number}" for number in count(len(found)))
        found[name if name not in found else next(other for other in numbered if other not in found)] = None
    return list(found)
