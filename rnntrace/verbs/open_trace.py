"""`open_trace`: a saved trace, which is judged again: nobody can tell who wrote what a file says of itself."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from rnntrace.engine.judge.options import JudgeOptions
from rnntrace.engine.judge.rejudge import rejudged
from rnntrace.engine.judge.result import Result
from rnntrace.engine.judge.tolerance import LAMBDA, Tolerance
from rnntrace.engine.judge.verdict import Comparison, Verdict
from rnntrace.engine.replay.trace import TERMS, VALUES, Trace, term_symbols
from rnntrace.errors import FileError, show
from rnntrace.files.trace_file import TraceFile, read_trace
from rnntrace.model.spec import ModuleSpec
from rnntrace.verbs.displayed import displayed

if TYPE_CHECKING:
    from rnntrace.engine.diagnose.mistake import Mistake


def open_trace(path: str | Path) -> Result:
    """A saved trace with a verdict of its own. No framework is loaded. Raises FileError for any other file.

    Long arrays stay in the file, as read-only numpy.memmaps. The verdict that the file says is not believed: see `rejudged`.
    """
    trace = read_trace(Path(path))
    try:
        said, options, result = _told(trace)
    except (KeyError, TypeError, ValueError, AttributeError):
        raise FileError(f"{show(str(path))} holds no trace: expected a file that rnntrace has saved") from None
    again = rejudged(result, options, said)
    if again.verdict is not said:
        remark = f"{show(str(path))} says {said}: judged again it is {again.verdict}"
        again = replace(again, warnings=(*again.warnings, remark))
    return displayed(again)


def judged_again(trace: TraceFile) -> Verdict:
    """The verdict that a trace will have when it is opened."""
    said, options, result = _told(trace)
    return rejudged(result, options, said).verdict


def _told(trace: TraceFile) -> tuple[Verdict, JudgeOptions, Result]:
    """What the file says: its verdict, how that was come to, and the result without one."""
    said = Verdict(trace.verdict)
    options = _options(trace, said)
    return said, options, _unjudged(trace, options)


def _options(trace: TraceFile, said: Verdict) -> JudgeOptions:
    """How a trace was judged. One that failed does not pass as a drift: that may have been refused."""
    told = Tolerance(**trace.tolerance)
    given = told.kind == "torch" and not told.rounding
    return JudgeOptions(
        tolerance=told.kind if told.n is None else f"{told.kind}:{told.n}",
        rtol=told.rtol if given else None,
        atol=told.atol if given else None,
        lam=told.lam if told.rounding and told.lam != LAMBDA else None,
        replay=trace.mode,
        drift=said is not Verdict.FAIL,
    )


def _unjudged(trace: TraceFile, options: JudgeOptions) -> Result:
    """What the file holds, without a verdict."""
    spec = trace.spec
    # Some formats sort by name; the order of computation is the cell's. States are always there, gates if they were kept.
    found = {*spec.cell.states, *(symbol for *_, symbol in trace.replayed)}
    kept = [symbol for symbol in spec.cell.symbols if symbol in found]
    terms = [symbol for symbol in term_symbols(spec.cell) if symbol in found]
    channels = {
        name: {(*column, symbol): trace.replayed[*column, symbol] for column in spec.layer_directions for symbol in symbols}
        for name, symbols in ((VALUES, kept), (TERMS, terms))
    }
    return Result(
        spec,
        trace.weights,
        trace.inputs,
        Trace(spec, trace.inputs, channels),
        trace.outputs,
        trace.observation,
        Comparison(Verdict.UNDECIDED, options.tolerance_for(spec), (), None, None, {}, 0),
        trace.mode,
        trace.seed,
        trace.origin,
        trace.warnings,
        _mistakes(spec, trace.mistakes),
        single_steps=False,
    )


def _mistakes(spec: ModuleSpec, ids: Sequence[str]) -> tuple["Mistake", ...]:
    """Those of the catalogue with these ids; few traces have any."""
    if not ids:
        return ()
    from rnntrace.engine.diagnose.mistake import catalogue

    known = {mistake.id: mistake for mistake in catalogue(spec.cell)}
    return tuple(known[id] for id in ids)
