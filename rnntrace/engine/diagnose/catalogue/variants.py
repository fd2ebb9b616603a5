"""Mistakes with what torch's cells do not have: diagonals such as peepholes, and clips."""

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import permutations

from rnntrace.engine.diagnose.case import Change, Entry
from rnntrace.engine.diagnose.catalogue.rewriting import Rewrite, everywhere, expressions, rewritten, with_steps
from rnntrace.engine.diagnose.catalogue.rows import Block, blocks_of, rearranged
from rnntrace.engine.diagnose.catalogue.weights import MOST_PERMUTED, reordered
from rnntrace.equations.cell import Cell
from rnntrace.equations.expression import Expr, Op, before, now
from rnntrace.equations.notation import UNICODE, spell
from rnntrace.equations.parameters import Role
from rnntrace.model.weights import LayerWeights

SCALES = {Op.GAIN: Role.GAIN, Op.DIAGONAL: Role.DIAGONAL}
"""What a layer norm may be multiplied by."""


def scales(cell: Cell, role: Role) -> list[Block]:
    """The blocks that play this role and are the scale of a layer norm."""
    parts = [part for step in cell.steps for part in step.expression.walk() if part.op in SCALES]
    gates = {part.name for part in parts if SCALES[part.op] is role and part.args[0].op is Op.LAYER_NORM}
    return [block for block in blocks_of(cell).get(role, []) if block[0] in gates]


def diagonal_mistakes(cell: Cell, kind: str) -> Iterator[Entry]:
    """All of a cell."""
    not_here = scales(cell, Role.DIAGONAL)
    blocks = [block for block in blocks_of(cell).get(Role.DIAGONAL, []) if block not in not_here]
    gates, names = tuple(gate for gate, *_ in blocks), list(dict.fromkeys(name for _, name, _ in blocks))
    fix = "add {} ⊙ the state to what each of its gates sees"
    if len(names) > 1:
        yield Entry(
            id=f"{kind}.diagonal.all-dropped",
            says=f"{', '.join(names[:-1])} and {names[-1]} were left out",
            fix=fix.format("each"),
            change=with_blocks(blocks, 0.0),
        )
    for name in names:
        own = [block for block in blocks if block[1] == name]
        yield Entry(f"{kind}.diagonal.{name}-dropped", f"{name} was left out", fix.format(name), with_blocks(own, 0.0))
        for block in own if len(own) > 1 else ():
            called = _called(cell, block[0])
            says = f"{called} was left out, and no other of {name}"
            yield Entry(f"{kind}.diagonal.{called}-dropped", says, fix.format(called), with_blocks([block], 0.0))
    for order in permutations(gates) if 1 < len(gates) <= MOST_PERMUTED else ():
        if order != gates:
            spaced, right = " ".join(order), " ".join(gates)
            yield Entry(
                id=f"{kind}.diagonal.order-{('' if all(len(gate) == 1 for gate in order) else '-').join(order)}",
                says=f"the diagonals of gates were read in the order {spaced} instead of {right}",
                fix=f"read them as {right}" + (": ONNX' P lies as i o f" if sorted(gates) == ["f", "i", "o"] else ""),
                change=rearranged(partial(reordered, order), (Role.DIAGONAL,)),
                frameworks=("ONNX",) if order == ("i", "o", "f") else (),
            )
    yield from _of_another_step(cell, kind)


def _of_another_step(cell: Cell, kind: str) -> Iterator[Entry]:
    """Peepholes that see a state before its update and not behind it, or the reverse where it is known by then."""
    for step in cell.steps:
        for part in dict.fromkeys(part for part in step.expression.walk() if part.op is Op.DIAGONAL):
            (seen,) = part.args
            if seen.name not in cell.states or seen.name == "h":
                continue
            early = seen.op is Op.NOW
            rewrite = _replacing(part, Expr(Op.DIAGONAL, (before(seen.name) if early else now(seen.name),), part.name))
            if with_steps(cell, rewrite(cell)) is None:
                continue
            called = _called(cell, part.name)
            yield Entry(
                id=f"{kind}.diagonal.{called}-{'before' if early else 'after'}",
                says=f"{called} was multiplied by {seen.name} of {'the step before' if early else 'this step'}",
                fix=f"compute {spell(part, UNICODE, cell.parameters)}",
                change=rewritten(rewrite),
            )


def _called(cell: Cell, gate: str) -> str:
    parameter = cell.of(Role.DIAGONAL, gate)
    return parameter.block(gate) if parameter else gate


def _replacing(part: Expr, other: Expr) -> Rewrite:
    return everywhere(lambda found: other if found == part else found)


def with_blocks(blocks: Sequence[Block], value: float) -> Change:
    """The case with these blocks of its weights full of one number."""

    def filled(weights: LayerWeights) -> LayerWeights:
        arrays = {name: weights.arrays[name].copy() for _, name, _ in blocks}
        for _, name, place in blocks:
            arrays[name][place] = value
        return weights.replaced(**arrays)

    return lambda case: case.with_weights(filled)


def clip_mistakes(cell: Cell, kind: str) -> Iterator[Entry]:
    """All of a cell."""
    clips = {
        step.symbol: own for step in cell.steps if (own := [part for part in step.expression.walk() if part.op is Op.CLIP])
    }
    limits = {part.args[1:] for own in clips.values() for part in own}
    ranges = ["from {} to {}".format(*(f"{limit.value:g}" for limit in pair)) for pair in limits]
    fix = f"clip inside {', '.join(clips)}" + (f", to the range {ranges[0]}" if len(ranges) == 1 else "")
    if clips:
        yield Entry(f"{kind}.clip.left-out", "nothing was clipped", fix, rewritten(everywhere(_unclipped)))
    for symbol in clips if len(clips) > 1 else ():
        says = f"{symbol} was computed without its clip"
        yield Entry(f"{kind}.clip.{symbol}-left-out", says, fix, rewritten(_only(symbol, everywhere(_unclipped))))
    if len(limits) == 1 and "c" in cell.states and "c" not in clips:
        words = f"the cell state was clipped to the range {ranges[0]}"
        of_c = partial(_clipped, next(iter(limits)))
        for name, rewrite, how in (
            ("of-cell-state", lambda cell: {**everywhere(_unclipped)(cell), **of_c(cell)}, " in place of what is clipped here"),
            ("of-cell-state-too", of_c, " as well"),
        ):
            yield Entry(f"{kind}.clip.{name}", words + how, fix, rewritten(rewrite), frameworks=("TF1 LSTMCell cell_clip",))


def _unclipped(part: Expr) -> Expr:
    return part.args[0] if part.op is Op.CLIP else part


def _only(symbol: str, rewrite: Rewrite) -> Rewrite:
    return lambda cell: {name: other for name, other in rewrite(cell).items() if name == symbol}


def _clipped(limits: tuple[Expr, ...], cell: Cell) -> dict[str, Expr]:
    return {"c": Expr(Op.CLIP, (expressions(cell)["c"], *limits))}
