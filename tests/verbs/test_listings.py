"""`mistakes` and `layouts` from Python: what they hold, and how they show themselves."""

import json
from functools import reduce

import numpy as np
import pytest
from commandline import ask

import rnntrace
from rnntrace.engine.replay.operators import OPERATORS
from rnntrace.equations import cells
from rnntrace.equations.expression import Expr, Op


def test_mistakes_are_those_that_the_command_lists(capsys: pytest.CaptureFixture[str]) -> None:
    """The same ids in the same order, for a kind, a family and everything."""
    for arguments, found in (
        ([], rnntrace.mistakes()),
        (["lstm"], rnntrace.mistakes("lstm")),
        (["gru", "--family", "gate-order"], rnntrace.mistakes("GRU", family="gate-order")),
    ):
        out = ask(capsys, "mistakes", *arguments, "--format", "json").out
        assert [entry["id"] for entry in json.loads(out)["mistakes"]] == [mistake.id for mistake in found]


def test_a_mistake_by_number_part_and_id() -> None:
    """As in a list; the id may leave out the kind, or the family too, and nothing that is not a whole word."""
    found = rnntrace.mistakes("lstm")
    assert found[0] == next(iter(found))
    assert [*found[:2]] == [found[0], found[1]]
    assert found["lstm.gate-order.iofc"] == found["gate-order.iofc"] == found["iofc"]
    for missing in ("ofc", "gru.gate-order.zrn"):
        with pytest.raises(KeyError, match="0 of these"):
            found[missing]


def test_mistakes_of_a_spec_are_those_of_its_cell() -> None:
    spec = rnntrace.ModuleSpec(cell=cells.GRU_RESET_BEFORE, input_size=3, hidden_size=2)
    assert [mistake.cell for mistake in rnntrace.mistakes(spec)] == [cells.GRU_RESET_BEFORE] * len(rnntrace.mistakes(spec))


def test_layouts_are_the_rows_of_the_command() -> None:
    """All frameworks, or one; a framework alone shows the way to torch."""
    everything, keras = rnntrace.layouts(), rnntrace.layouts("keras 3")
    assert {"PyTorch", "Keras 3", "ONNX"} < {convention.framework for convention in everything}
    assert [convention.gru for convention in keras] == ["zrn"]
    assert "transpose both matrices" in repr(keras)
    assert "transpose both matrices" not in repr(everything)


def test_lists_show_themselves() -> None:
    """Text and HTML; there is nothing to typeset, and no flag is named."""
    for found, words in ((rnntrace.mistakes("rnn"), "rnn.bias"), (rnntrace.layouts(), "Keras 3")):
        assert words in repr(found)
        assert words in found._repr_html_()
        assert found._repr_latex_() is None
        assert "--" not in repr(found)


def test_what_does_not_exist_is_named() -> None:
    with pytest.raises(rnntrace.RnnTraceError, match="unknown module kind 'qrnn'"):
        rnntrace.mistakes("qrnn")
    with pytest.raises(rnntrace.RnnTraceError, match="unknown family 'typo'"):
        rnntrace.mistakes("lstm", family="typo")
    with pytest.raises(rnntrace.RnnTraceError, match="unknown framework 'typo'"):
        rnntrace.layouts("typo")


def test_one_cell_is_a_text_for_people_and_a_row_an_equation_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    text = ask(capsys, "cells", "rnn").out
    assert text.splitlines()[1].split("#")[0].strip() == "h = tanh(W_ih x + b_ih + W_hh h[t-1] + b_hh)"
    assert ask(capsys, "cells", "rnn", "--format", "csv").out == (
        "symbol,role,equation\nh,hidden state,h = tanh(W_ih x + b_ih + W_hh h[t-1] + b_hh)\n"
    )


@pytest.mark.parametrize("name", rnntrace.cells())
def test_a_built_in_cell_and_its_text_are_explained_alike(name: str) -> None:
    """Equations and numbers put in: every operator of theirs is worked out to the value that the replay has."""
    text = rnntrace.cells(name)[name]
    assert rnntrace.explain(cell=text)
    explained = rnntrace.explain(cell=text, t=2, unit=1, back=1, seed=1, hidden=3, input_size=3)
    for moment in explained.moments:
        for derivation in moment.derivations:
            for stage in derivation.stages[1:]:
                assert worked_out(stage) == pytest.approx(derivation.value, rel=1e-5, abs=1e-6)


def worked_out(expr: Expr) -> float:
    """What an expression of numbers comes to."""
    if expr.op is Op.CONSTANT:
        return float(expr.value)
    numbers = [np.array([worked_out(arg)]) for arg in expr.args]
    joins = expr.op in (Op.ADD, Op.MULTIPLY)
    return float((reduce(OPERATORS[expr.op], numbers) if joins else OPERATORS[expr.op](*numbers))[0])
