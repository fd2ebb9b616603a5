"""Mistakes are data: they come out of a pickle as they went in, here and in other processes, and apply the same there."""

import multiprocessing
import pickle
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pytest
from own_cells import MGU, PEEPHOLE, drawn

import rnntrace
from rnntrace.engine.diagnose.case import Case, Outputs
from rnntrace.engine.diagnose.coarse import coarse
from rnntrace.engine.diagnose.digits import Digits
from rnntrace.engine.diagnose.mistake import Mistake, catalogue, outputs_of
from rnntrace.engine.judge.options import JudgeOptions
from rnntrace.equations.cell import Cell
from rnntrace.model.dtypes import DTYPES
from rnntrace.model.spec import ModuleSpec
from rnntrace.verbs.run import build_and_trace as run

RNN, LSTM, GRU = (ModuleSpec(kind=kind, input_size=3, hidden_size=3).cell for kind in ("RNN", "LSTM", "GRU"))
CELLS = {"RNN": RNN, "LSTM": LSTM, "GRU": GRU, "MGU": MGU, "peephole": PEEPHOLE}
SHAPE = {"num_layers": 2, "bidirectional": True}
DIGITS = (Digits("3 decimals", "printed-3", 1e-3), Digits("a grid of 1/8", "grid-8", 0.125),
          Digits("float16", "float16", format=DTYPES["float16"]))  # fmt: skip


@pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)
def test_a_mistake_comes_out_of_a_pickle_as_it_went_in(cell: Cell) -> None:
    """Every one of the catalogue, before and after it was applied, and those that are read off digits; all hash apart."""
    case = Case.of(*drawn(cell, **SHAPE))
    mistakes = catalogue(cell)
    assert len({*mistakes}) == len(mistakes)
    for mistake in (*mistakes, *(coarse(cell, digits) for digits in DIGITS)):
        before = pickle.dumps(mistake)
        assert pickle.loads(before) == mistake
        mistake.change(case)
        assert pickle.dumps(mistake) == before
        assert hash(pickle.loads(before)) == hash(mistake)


def test_mistakes_of_two_cells_differ() -> None:
    """One id, and not one mistake: it is of another cell."""
    other = ModuleSpec(kind="GRU", input_size=3, hidden_size=3, reset_after=False).cell
    first, second = (next(found for found in catalogue(cell) if found.id == "gru.bias.hh-dropped") for cell in (GRU, other))
    assert first != second


def test_a_result_with_mistakes_and_its_diagnosis_come_out_of_a_pickle() -> None:
    """The mistakes in both are equal to those that went in, and so are the answers."""
    spec = ModuleSpec(kind="LSTM", input_size=3, hidden_size=3)
    result = run(spec, judging=JudgeOptions(mistakes=("gate-order.ifoc",)), seed=1)
    assert [found.id for found in result.mistakes] == ["lstm.gate-order.ifoc"]
    assert pickle.loads(pickle.dumps(result)).mistakes == result.mistakes
    found = rnntrace.diagnose(result)
    assert found.answers[0].mistakes == result.mistakes
    assert pickle.loads(pickle.dumps(found)).answers == found.answers


@pytest.mark.slow
def test_a_mistake_applies_the_same_in_another_process() -> None:
    """The whole catalogue of every cell, through a pool of fresh processes: the outputs have the same bits."""
    tasks = [(Case.of(*drawn(cell, **SHAPE)), mistake) for cell in CELLS.values() for mistake in catalogue(cell)]
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        elsewhere = list(pool.map(applied, tasks, chunksize=50))
    assert sum(outputs is not None for _, outputs in elsewhere) > len(tasks) / 2
    for (case, mistake), (returned, outputs) in zip(tasks, elsewhere, strict=True):
        here = outputs_of(case, [mistake])
        assert returned == mistake
        assert (here is None) == (outputs is None)
        for name, values in (here or {}).items():
            np.testing.assert_array_equal(values, (outputs or {})[name])


def applied(task: tuple[Case, Mistake]) -> tuple[Mistake, Outputs | None]:
    """A mistake and what comes of it."""
    case, mistake = task
    return mistake, outputs_of(case, [mistake])
