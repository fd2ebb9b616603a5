"""A recurrent module as a file holds it: what it is, its weights, and what the file does not tell."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from rnntrace.errors import SpecError, show
from rnntrace.model.chain import Before, Behind
from rnntrace.model.conventions import TORCH
from rnntrace.model.courses import Head
from rnntrace.model.dtypes import Array
from rnntrace.model.neighbours import Neighbour
from rnntrace.model.spec import ModuleSpec
from rnntrace.model.weights import Weights

DEQUANTISED = "its weights are integers of 8 bits, which were turned into numbers; the module itself rounds what it multiplies"
"""What is said of a module with `levels`."""

ASK_RESET = "see `reset`"
"""How the remark ends on a GRU of which a file does not tell where its reset gate acts."""


def unrecorded(spec: ModuleSpec) -> tuple[str, ...]:
    """The fields of a spec that names and shapes of torch's parameters do not tell."""
    return (
        *(("nonlinearity",) if spec.nonlinearity else ()),
        *(() if spec.is_cell else ("batch_first", "dropout")),
    )


@dataclass(frozen=True)
class Mask:
    """What tells a layer in a file which steps to leave out: at these it hands its state on.

    `source` names the layer below that masks. A step is masked where every feature of x has the `value`; it is None where x
    does not show it, as behind an Embedding. At masked steps the output is that of the step before, or `zeros`.
    """

    source: str
    value: float | None = None
    zeros: bool = False


@dataclass(frozen=True)
class Module:
    """A recurrent module in a file.

    `layout` is the framework whose arrangement the file has, a row of `conventions`; `assumed` are the fields of the spec
    that the file does not tell. `output_reversed` is Keras' go_backwards: the framework gives the output of the last step
    first, where torch's reverse direction gives it in the order of the input. `last_output` is its return_sequences=False:
    the framework gives the output of the final step alone. `absent` is how many parameters of `weights` the file does not
    hold: zeros, as for the second of torch's two biases where there is one. `hard_sigmoid` is the activation of gates that
    the framework calls by this name. `open` is a question on which the outputs hang, and which the file leaves: without an
    answer nothing is decided. `takes` are the initial states and lengths that the model hands in when it runs, `signals` the
    outputs and gates that were saved beside the weights, `remarks` what to say of how the weights were read. `half_units` are
    half a unit of the last digit of weights that were typed, and 0 of exact ones. `states` are those at t = 0 that the model
    holds, h0 (L·D, B, R) and c0 (L·D, B, H), and `lengths` those of the sequences: it starts from them whatever it is fed
    with. `head` is what a course has behind the cell. `levels` is to how many levels a quantised module rounds what it
    multiplies, None where it rounds nothing. `before` is what the module reads in a model of several layers, None where that
    is not known, and `behind` what is made of its output.
    """

    spec: ModuleSpec
    weights: Weights
    layout: str = TORCH
    assumed: tuple[str, ...] = ()
    output_reversed: bool = False
    last_output: bool = False
    absent: int = 0
    mask: Mask | None = None
    hard_sigmoid: str = "hard_sigmoid"
    open: str = ""
    half_units: Weights | None = None
    takes: tuple[str, ...] = ()
    signals: tuple[str, ...] = ()
    states: Mapping[str, Array] = field(default_factory=dict)
    lengths: tuple[int, ...] | None = None
    remarks: tuple[str, ...] = ()
    head: Head | None = None
    levels: int | None = None
    before: Before | None = None
    behind: Behind = field(default_factory=Behind)

    def leaves_open(self, name: str) -> bool:
        """Whether a file does not tell this field of the spec: a state_dict may be that of a port, with code behind it."""
        return name in self.assumed or (self.layout == TORCH and name in ("recurrent_activation", "merge", "reset_after"))

    @property
    def parameters(self) -> int:
        """Number of trainable parameters that the file holds."""
        return self.spec.parameters - self.absent


@dataclass(frozen=True)
class Refused:
    """A module in a file that is not judged: how a message names it, why, and what it is as far as that can be told."""

    where: str
    reason: str
    nature: str = ""

    def __str__(self) -> str:
        return f"{self.where}: {self.reason}"


@dataclass(frozen=True)
class Contents:
    """The recurrent modules of a file by prefix, those that cannot be judged apart, and how many tensors are no module's.

    `neighbours` are those of the other tensors that fit before or behind a module.
    """

    modules: Mapping[str, Module]
    refused: Mapping[str, Refused] = field(default_factory=dict)
    others: int = 0
    neighbours: tuple[Neighbour, ...] = ()

    @property
    def only_wrong(self) -> Refused | None:
        """The first module that is refused, if there is no other, and of none it can be told what it is."""
        told = self.modules or any(found.nature for found in self.refused.values())
        return None if told else next(iter(self.refused.values()), None)

    @property
    def prefixes(self) -> tuple[str, ...]:
        """Those of all modules."""
        return (*self.modules, *self.refused)

    def only(self, prefixes: Collection[str]) -> "Contents":
        """The same with the modules of these prefixes alone."""
        refused = {prefix: found for prefix, found in self.refused.items() if prefix in prefixes}
        return replace(self, modules={name: found for name, found in self.modules.items() if name in prefixes}, refused=refused)


@dataclass(frozen=True)
class Layer:
    """One layer of a model that is declared layer by layer: its module, and the name of the layer whose output it reads."""

    name: str
    module: Module
    reads: str | None = None


def stacked(layers: Iterable[Layer]) -> dict[str, Module]:
    """Layers that read one another's output and are of one kind and size become one module of several layers, as in torch.

    A stack is named by its layers, `lstm+lstm_1`; a layer that stands alone by its own name.
    """
    chains: dict[str, list[Layer]] = {}
    for layer in layers:
        below = chains.get(layer.reads or "")
        if below is not None and _continues(below[-1].module, layer.module) and below[-1].name == layer.reads:
            below.append(layer)
            chains[layer.name] = below
        else:
            chains[layer.name] = [layer]
    return {"+".join(layer.name for layer in chain): _stack(chain) for chain in _distinct(chains.values())}


def _distinct(chains: Iterable[list[Layer]]) -> Iterator[list[Layer]]:
    seen: set[int] = set()
    for chain in chains:
        if id(chain) not in seen:
            seen.add(id(chain))
            yield chain


def _continues(below: Module, above: Module) -> bool:
    """Whether torch could have both as two layers of one module."""
    if below.output_reversed or above.output_reversed or below.last_output:
        return False
    if not _start_alike(below, above):
        return False
    expected = replace(below.spec, input_size=below.spec.width)
    sources = [module.mask.source if module.mask else None for module in (below, above)]
    return above.spec == expected and sources[0] == sources[1]


def _start_alike(below: Module, above: Module) -> bool:
    """Whether two layers can start from states and lengths of one module; what is held does not go with what is handed in."""
    batches = {array.shape[1] for module in (below, above) for array in module.states.values()}
    held, taken = {*below.states, *above.states}, {*below.takes, *above.takes}
    return below.lengths == above.lengths and len(batches) < 2 and not held & taken


def _initial(modules: Sequence[Module]) -> dict[str, Array]:
    """The states that layers of one module start from, joined; zeros where one of them has none."""
    found: dict[str, Array] = {}
    for name in dict.fromkeys(name for module in modules for name in module.states):
        one = next(module.states[name] for module in modules if name in module.states)
        found[name] = np.concatenate([module.states.get(name, np.zeros_like(one)) for module in modules])
    return found


def _stack(chain: list[Layer]) -> Module:
    first, last = chain[0].module, chain[-1].module
    if len(chain) == 1:
        return first
    weights = {
        (number, direction): layer.module.weights[0, direction]
        for number, layer in enumerate(chain)
        for direction in first.spec.directions
    }
    try:
        spec = replace(first.spec, num_layers=len(chain), inner_merge=first.spec.merge)
    except SpecError as error:
        raise SpecError(f"{chain[0].name} and the {len(chain) - 1} layers above it: {error}") from None
    mask = first.mask and last.mask and replace(first.mask, zeros=last.mask.zeros)
    modules = [layer.module for layer in chain]
    return replace(
        first,
        spec=spec,
        weights=Weights(weights),
        absent=sum(module.absent for module in modules),
        last_output=last.last_output,
        behind=last.behind,
        mask=mask,
        takes=tuple(dict.fromkeys(name for module in modules for name in module.takes)),
        states=_initial(modules),
        remarks=tuple(f"{show(layer.name)}: {remark}" for layer in chain for remark in layer.module.remarks),
    )
