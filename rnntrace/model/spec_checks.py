"""Which sizes and options of a module contradict one another."""

from __future__ import annotations

from collections.abc import Iterator
from math import isfinite
from typing import TYPE_CHECKING

from rnntrace.equations.cells import OPTIONS
from rnntrace.equations.expression import Op
from rnntrace.equations.parameters import Role
from rnntrace.model.dtypes import DTYPES, is_whole
from rnntrace.model.limits import MAX_LAYERS, MAX_PARAMETERS, over
from rnntrace.model.merges import CONCAT, MERGES

if TYPE_CHECKING:
    from rnntrace.model.spec import ModuleSpec

USUAL = {"nonlinearity": "tanh", "recurrent_activation": "sigmoid", "activation": "tanh", "cell_activation": "tanh"}
"""The activations that torch has."""
ACTIVATIONS_OF = {family: tuple(name for name in USUAL if name in options) for family, options in OPTIONS.items()}
"""Those of a family, in the order of ONNX."""
_OWNERS = {
    "nonlinearity": "belongs to RNN and RNNCell: {kind} has `activation` and `recurrent_activation`, leave it out",
    "recurrent_activation": "is the activation of gates and belongs to LSTM and GRU: {kind} has no gates",
    "activation": "is that of the candidate and belongs to LSTM and GRU: {kind} has `nonlinearity`",
    "cell_activation": "belongs to LSTM: {kind} has no cell state",
    "peepholes": "belongs to LSTM: {kind} has no cell state that gates could see",
    "coupled": "belongs to LSTM: {kind} has no forget gate",
    "layer_norm": "belongs to LSTM and RNN: declare a cell of your own for {kind}",
    "independent": "belongs to RNN: the units of {kind} are not independent",
    "clip": "belongs to RNN, LSTM and GRU: write clip(…) into a cell of your own",
}
"""What is said of an option that a module cannot have."""
OF_FAMILIES = (*_OWNERS, "reverse_activations")
"""Options that no cell of one's own has."""


def complaints_of_options(spec: ModuleSpec) -> Iterator[str]:
    """What is wrong with the options that the cell is declared with."""
    kind, takes = spec.kind, OPTIONS.get(spec.family, ())
    for name, reason in _OWNERS.items():
        if getattr(spec, name) not in (None, False) and name not in takes:
            yield f"`{name}` {reason.format(kind=kind)}"
    if spec.proj_size and (spec.is_cell or "projected" not in takes) and takes:
        yield f"`proj_size` belongs to LSTM alone: torch's {kind} has no projection, leave it out"
    if not spec.reset_after and "reset_after" not in takes:
        yield f"where the reset gate acts belongs to GRU: {kind} has none"
    if spec.clip is not None and not (isfinite(spec.clip) and spec.clip > 0):
        yield f"`clip` is a number above 0, not {spec.clip:g}"
    if spec.independent and spec.layer_norm:
        yield "`independent` cannot be combined with `layer_norm`: declare a cell of your own"
    if own := spec.reverse_activations:
        wanted = ACTIVATIONS_OF.get(spec.family, ())
        if len(own) != len(wanted):
            yield f"`reverse_activations` are {len(wanted)} for {kind} ({', '.join(wanted)}), and {len(own)} are given"
        if not spec.bidirectional:
            yield "`reverse_activations` belong to a module of two directions: give its only direction's as the others"


def complaints(spec: ModuleSpec) -> Iterator[str]:
    """What is wrong with sizes and options; the cell is known."""
    kind = spec.kind
    for name, size in (
        ("input size", spec.input_size),
        ("hidden size", spec.hidden_size),
        ("number of layers", spec.num_layers),
    ):
        if not is_whole(size):
            yield f"the {name} must be a whole number, not {size!r}"
        if size < 1:
            yield f"the {name} must be at least 1, not {size}"
    if spec.dtype not in DTYPES:
        yield f"unknown dtype {spec.dtype!r}: choose one of {', '.join(DTYPES)}"
    if any(part.op is Op.INPUT for step in spec.cell.steps for part in step.expression.walk()):
        for layer in range(min(spec.num_layers, 2)):
            if (size := spec.layer_input_size(layer)) != spec.hidden_size:
                where = "the input size" if layer == 0 else "the size of what layer 1 reads"
                yield f"{kind} takes its input unit by unit: {where} should be the hidden size {spec.hidden_size}, not {size}"
    projects = any(parameter.role is Role.PROJECTION for parameter in spec.cell.parameters)
    if spec.proj_size and not projects:
        yield f"`proj_size` belongs to LSTM alone: torch's {kind} has no projection, leave it out"
    if spec.proj_size < 0 or spec.proj_size >= max(spec.hidden_size, 1):
        yield f"the projection size must be at least 0 and below the hidden size {spec.hidden_size}, not {spec.proj_size}"
    if projects and not spec.proj_size:
        yield f"the {kind} projects its hidden state: give a proj_size above 0"
    if not 0 <= spec.dropout <= 1:
        yield f"dropout is a probability between 0 and 1, not {spec.dropout:g}"
    if spec.is_cell:
        layer_options = {
            "`num_layers`": spec.num_layers > 1,
            "`bidirectional`": spec.bidirectional,
            "`batch_first`": spec.batch_first,
            "`dropout`": spec.dropout > 0,
        }
        for option, given in layer_options.items():
            if given:
                yield f"{option} does not apply to {kind}: a cell is one step of one layer; use {spec.family} instead"
    if spec.reverse and spec.bidirectional:
        yield "a module is bidirectional or runs in reverse alone, not both"
    for merge in (spec.merge, spec.inner_merge):
        if merge not in MERGES:
            yield f"unknown merge {merge!r}: choose one of {', '.join(MERGES)}"
    if (spec.merge, spec.inner_merge) != (CONCAT, CONCAT) and not spec.bidirectional:
        yield f"`merge` joins two directions, and this {kind} has one: leave it out, or make it bidirectional"
    if spec.num_layers > MAX_LAYERS:
        yield f"{spec.num_layers} layers are {over('MAX_LAYERS', MAX_LAYERS)}: use fewer"
    if spec.parameters > MAX_PARAMETERS:
        limit = over("MAX_PARAMETERS", MAX_PARAMETERS)
        yield f"a module of {spec.parameters:,} parameters is {limit}: make it smaller"
