"""The report of a module's equations: state by state, with shapes, and which part of which array is whose."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import groupby
from typing import Any

import numpy as np

from rnntrace.equations.expression import Op
from rnntrace.equations.notation import LATEX, MEANINGS, UNICODE, formula, left_side
from rnntrace.equations.parameters import Role
from rnntrace.model.blocks import Block, biases_a_gate, blocks
from rnntrace.model.conventions import Convention
from rnntrace.model.merges import CONCAT
from rnntrace.model.spec import REVERSE, ModuleSpec
from rnntrace.report.run import describe
from rnntrace.report.table import SCHEMA, Column, Formula, Formulas, Line, Report, Scale, Table


def equations_report(spec: ModuleSpec, convention: Convention) -> Report:
    """What `rnntrace explain` tells of a module; arrays are named and arranged as in the framework of `convention`.

    Raises UsageError if that framework has no module of this kind.
    """
    found = list(blocks(spec, convention))
    return Report(
        headline=((tuple(describe(spec)), title(spec)), *_notes(spec, convention)),
        formulas=(equations(spec), _meanings(spec)),
        tables=(_shapes(spec, found), *_parameters(spec, found)),
        conclusion=(),
        passed=None,
        document=document(spec, convention, found),
    )


def document(spec: ModuleSpec, convention: Convention, found: Sequence[Block]) -> dict[str, Any]:
    """What every form of the command says of a module, as plain values."""
    return {
        "schema": SCHEMA,
        "command": "explain",
        "kind": spec.kind,
        "spec": spec.document(),
        "equations": [
            {"symbol": step.symbol, "role": line.label, "text": line.text, "latex": line.latex}
            for step, line in zip(spec.cell.steps, equations(spec).lines, strict=True)
        ],
        "framework": convention.framework,
        "parameters": [{name: value for name, value in asdict(block).items() if name != "role"} for block in found],
    }


def title(spec: ModuleSpec) -> tuple[str, ...]:
    """Which variant of its kind the cell is; nothing where there is only one."""
    return () if spec.cell.title == spec.family else (spec.cell.title,)


def equations(spec: ModuleSpec) -> Formulas:
    """The cell's equations for any step."""
    lines = [
        Formula(step.role, formula(step, UNICODE, spec.declared), formula(step, LATEX, spec.declared))
        for step in spec.cell.steps
    ]
    words = ["every step t = 1 … T" + (" of every layer" if spec.num_layers > 1 else "")]
    if REVERSE in spec.directions:
        words.append("the reverse direction has t + 1 for t - 1")
    return Formulas(" · ".join(words), tuple(lines))


def _meanings(spec: ModuleSpec) -> Formulas:
    """Definitions of the operators that the cell uses."""
    used = {expr.op for step in spec.cell.steps for expr in step.expression.walk()}
    used |= {Op.MULTIPLY} if {Op.DIAGONAL, Op.GAIN} & used else set()
    return Formulas("where", tuple(Formula(*MEANINGS[op]) for op in MEANINGS if op in used))


def _notes(spec: ModuleSpec, convention: Convention) -> Iterator[Line]:
    """What the framework does in its own way, as far as this module is concerned."""
    if spec.is_custom:
        if len(spec.cell.gates) > 1:
            yield (f"gates in the order {' '.join(spec.cell.gates)}",), ()
        return
    order, is_gru = " ".join(convention.order(spec.cell)), convention.order(spec.cell) == convention.gru
    words = [f"{convention.framework}: gates in the order {order}"] if len(order) > 1 else [convention.framework]
    if spec.bias and biases_a_gate(spec, convention) == 1:
        words.append("one bias per gate: read b_h… as 0")
    if spec.bias and biases_a_gate(spec, convention) is None:
        words.append("the number of biases is not known")
    if convention.transposed is None:
        words.append("which axis holds the gates is not known")
    if is_gru and convention.keeps != "z":
        words.append(f"its z is torch's 1 - z: the state before is kept by {convention.keeps}")
    if is_gru and convention.reset == "before" and spec.reset_after:
        words.append("its GRU resets before the matrix product: see `reset_before`")
    yield tuple(words), ()
    for remark in convention.remarks_on(spec.cell):
        yield (f"{convention.framework}: {remark}",), ()


def _shapes(spec: ModuleSpec, found: Sequence[Block]) -> Table:
    """Every quantity of a step, for one item of the batch, and the block of every gate, where layers differ by layer."""
    cell = spec.cell
    rows = [(f"x{UNICODE.now}", "input", f"({spec.layer_input_size(0)})")]
    if spec.num_layers > 1:
        both = f"h of both directions below{f', merged by {spec.inner_merge}' if spec.inner_merge != CONCAT else ''}"
        below = both if spec.bidirectional else "h of the layer below"
        rows.append((f"x{UNICODE.now}", f"input above: {below}", f"({spec.layer_input_size(1)})"))
    rows += [(left_side(step.symbol, UNICODE), step.role, f"({spec.size_of(step.symbol)})") for step in cell.steps]
    layers = {block.layer: block for block in found if block.layer < 2}
    for name, own in groupby(sorted((b for b in found if b.layer in layers), key=_kind), key=_kind):
        for shape, same in groupby(own, key=lambda block: block.shape):
            members = list(same)
            of = "" if {block.layer for block in members} == set(layers) else f" of layer {members[0].layer}"
            of += " and above" if of and members[0].layer else ""
            rows.append((" ".join(dict.fromkeys(block.name for block in members)), name[1] + of, _shape(shape)))
    symbols, roles, shapes = zip(*rows, strict=True)
    return Table(
        "shapes of one item",
        (_words("symbol", symbols, Scale.NAME), _words("role", roles), _words("shape", shapes)),
    )


_ROLES = {
    Role.INPUT_MATRIX: "weights of the input",
    Role.RECURRENT_MATRIX: "weights of the hidden state",
    Role.INPUT_BIAS: "input bias",
    Role.RECURRENT_BIAS: "recurrent bias",
    Role.DIAGONAL: "weights unit by unit",
    Role.GAIN: "scale unit by unit",
    Role.SHIFT: "shift unit by unit",
    Role.PROJECTION: "projection of the hidden state",
}


def _kind(block: Block) -> tuple[int, str]:
    return list(_ROLES).index(block.role), _ROLES[block.role]


def _parameters(spec: ModuleSpec, found: Sequence[Block]) -> Iterator[Table]:
    """For each layer and direction a row for each gate, a column for each array, and in it the gate's slice."""
    roles = spec.cell.roles
    for (layer, direction), members in groupby(found, key=lambda block: (block.layer, block.direction)):
        projection: list[Block] = []
        stacked: list[Block] = []
        for block in members:
            (projection if block.is_projection else stacked).append(block)
        gates = {gate: list(own) for gate, own in groupby(stacked, key=lambda block: block.gate)}
        columns = [_words("gate", [f"{gate}  {roles[gate]}" for gate in gates], Scale.NAME)]
        for array in dict.fromkeys(block.parameter for block in stacked):
            cells = [[f"{block.name} = {block.slice}" for block in own if block.parameter == array] for own in gates.values()]
            columns.append(_words(array, [" ".join(cell) or "-" for cell in cells]))
        words = ["each gate's part of each array"]
        if not spec.is_cell:
            words += [f"layer {layer}", direction]
        words += [f"{block.name} is {block.parameter}" for block in projection]
        if direction == REVERSE:
            words.append("reads the steps from the last to the first")
        yield Table(" · ".join(words), tuple(columns))


def _shape(shape: Sequence[int]) -> str:
    return f"({', '.join(map(str, shape))})"


def _words(heading: str, words: Sequence[str], scale: Scale = Scale.WORD) -> Column:
    return Column(heading, np.array(words, object), scale, heading, heading)
