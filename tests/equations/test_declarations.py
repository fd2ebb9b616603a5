"""What a declaration may say: what cannot be computed is refused, names are data, and plain data leads there and back."""

import json
from dataclasses import replace

import numpy as np
import pytest
from own_cells import MGU, PEEPHOLE, drawn

from rnntrace.engine.replay.evaluate import Scope, evaluate
from rnntrace.engine.replay.replay import replay
from rnntrace.engine.replay.writer import compiled
from rnntrace.equations import cells
from rnntrace.equations.cell import Cell, Step
from rnntrace.equations.cells import CELLS
from rnntrace.equations.expression import Expr, before, diagonal, input_term, now, projection, recurrent_term, sigmoid, tanh
from rnntrace.equations.parameters import TERMS, Parameter, Role
from rnntrace.equations.plain import as_data, from_data
from rnntrace.errors import SpecError
from rnntrace.model.spec import ModuleSpec

TORCHS = {
    "RNN_TANH": ["W_ih", "W_hh", "b_ih", "b_hh"],
    "LSTM": ["W_ih", "W_hh", "b_ih", "b_hh"],
    "LSTM_PROJECTED": ["W_ih", "W_hh", "b_ih", "b_hh", "W_hr"],
    "GRU_RESET_BEFORE": ["W_ih", "W_hh", "b_ih", "b_hh"],
}


@pytest.mark.parametrize("name", TORCHS)
def test_parameters_that_are_left_out_have_torchs_names(name: str) -> None:
    """In torch's order; each has blocks for all gates, and a projection has none."""
    cell = getattr(cells, name)
    assert [parameter.name for parameter in cell.parameters] == TORCHS[name]
    assert all(parameter.gates == (() if parameter.name == "W_hr" else cell.gates) for parameter in cell.parameters)


def test_a_parameter_has_blocks_for_the_gates_that_read_it() -> None:
    """Of a peephole LSTM the candidate has no peephole, so p is (3, H)."""
    (p,) = [parameter for parameter in PEEPHOLE.parameters if parameter.role is Role.DIAGONAL]
    assert p.gates == ("i", "f", "o")
    assert ModuleSpec(cell=PEEPHOLE, input_size=5, hidden_size=2).shapes(0) == {
        "W_ih": (4, 2, 5),
        "W_hh": (4, 2, 2),
        "b_ih": (4, 2),
        "b_hh": (4, 2),
        "p": (3, 2),
    }


@pytest.mark.parametrize(
    "options", [{}, {"nonlinearity": "relu"}, {"reset_after": False}, {"recurrent_activation": "hard_sigmoid"}]
)
def test_a_known_cell_tells_kind_and_options(options: dict[str, object]) -> None:
    """A module of a kind is that of its cell; and another option means another cell."""
    kind = "RNN" if "nonlinearity" in options else "GRU"
    spec = ModuleSpec(kind=kind, input_size=3, hidden_size=2, **options)
    assert ModuleSpec(cell=spec.cell, input_size=3, hidden_size=2) == spec
    assert replace(replace(spec, reset_after=True, nonlinearity=None, recurrent_activation=None), **options) == spec
    assert "cell" not in spec.document()
    assert ModuleSpec.from_document(spec.document()) == spec


@pytest.mark.parametrize("name", ["LSTM", "GRU"])
def test_a_cell_of_ones_own_with_a_known_name_stays_its_own(name: str) -> None:
    """Nothing of torch's comes of a name: a peephole LSTM may be called LSTM, and has its parameters."""
    own = replace(PEEPHOLE, kind=name, title="a cell of mine")
    spec = ModuleSpec(cell=own, input_size=3, hidden_size=2)
    assert spec.is_custom
    assert replace(spec, hidden_size=4).cell == own
    assert spec.torch_lacks
    assert ModuleSpec.from_document(json.loads(json.dumps(spec.document()))) == spec


REFUSED: dict[str, tuple[dict[str, object], str]] = {
    "read too early": ({"steps": MGU.steps[::-1]}, "reads f of this step for h, before it is computed"),
    "no such state": (
        {"steps": (*MGU.steps[:2], Step("h", "", before("q")))},
        "reads q of the step before for h, and its states are h",
    ),
    "not computed": ({"states": ("h", "c")}, "has a state c, and no step computes it"),
    "no state": (
        {"steps": (Step("c", "", tanh(input_term("f"))),), "states": (), "parameters": ()},
        "has no state, and so no output",
    ),
    "no output": (
        {
            "steps": tuple(Step(state, "", tanh(input_term("f"))) for state in "xyz"),
            "states": ("x", "y", "z"),
            "parameters": (),
        },
        "has states x, y and z and no h: name its output h",
    ),
    "the name of an output": (
        {"steps": (*MGU.steps, Step("h_n", "", now("h")))},
        "computes h_n, a name that belongs to what a module returns",
    ),
    "no weights": ({"parameters": MGU.parameters[:1]}, "has no matrix on a state for f"),
    "no gate": ({"gates": ("f",), "parameters": ()}, "reads the weights of n, and its gates are f"),
    "two of one name": ({"parameters": (*MGU.parameters, MGU.parameters[0])}, "of one name, 'W'"),
    "a block for no gate": (
        {"parameters": (*MGU.parameters, Parameter("p", Role.DIAGONAL, ("q",)))},
        "has gates f, n, and its p blocks for q",
    ),
    "a matrix without gates": (
        {"parameters": (Parameter("W", Role.INPUT_MATRIX), *MGU.parameters[1:])},
        "its W blocks for none",
    ),
    "no name": ({"gates": ("f", "n", "")}, "has a gate or a quantity without a name"),
    "twice": ({"steps": (*MGU.steps, MGU.steps[0])}, "computes f twice"),
}


@pytest.mark.parametrize("fault", REFUSED)
def test_a_declaration_that_cannot_be_computed_is_refused(fault: str) -> None:
    """In one sentence that says what is wrong with it."""
    changes, says = REFUSED[fault]
    with pytest.raises(SpecError, match=says):
        replace(MGU, **changes)


@pytest.mark.parametrize("cell", [*CELLS, MGU, PEEPHOLE], ids=lambda cell: cell.title)
def test_a_cell_comes_back_from_plain_data(cell: Cell) -> None:
    """By way of JSON, with every expression and parameter."""
    assert from_data(json.loads(json.dumps(as_data(cell)))) == cell


def spoilt(path: list[object], value: object) -> object:
    data = json.loads(json.dumps(as_data(MGU)))
    inside = data
    for key in path[:-1]:
        inside = inside[key]
    inside[path[-1]] = value
    return data


def deep() -> dict[str, object]:
    """300 nested brackets."""
    found: dict[str, object] = {"op": "before", "args": [], "name": "h", "value": 0.0}
    for _ in range(300):
        found = {"op": "tanh", "args": [found], "name": "", "value": 0.0}
    return found


SPOILT = {
    "no operator": (["steps", 0, "expression", "op"], "exec"),
    "too few arguments": (["steps", 0, "expression", "args"], []),
    "a number for a name": (["gates", 0], 3),
    "no role": (["parameters", 0, "role"], "password"),
    "no steps": (["steps"], None),
    "too deep": (["steps", 0, "expression"], deep()),
}


@pytest.mark.parametrize("fault", SPOILT)
def test_plain_data_that_is_no_cell_is_refused(fault: str) -> None:
    """With SpecError, whatever it holds."""
    with pytest.raises(SpecError):
        from_data(spoilt(*SPOILT[fault]))


HOSTILE = (
    "__import__('os').abort()",
    "x\n    import os",
    "add",
    "h_before",
    "W_x",
    "input",
    "b",
    "t",
    "x",
    "f_t",
    "ended",
    "σ̃",
    "if",
)


def called(name: str) -> Cell:
    """The MGU with another name for its gate f."""

    def renamed(expr: Expr) -> Expr:
        return replace(expr, name=name if expr.name == "f" else expr.name, args=tuple(map(renamed, expr.args)))

    return replace(
        MGU,
        gates=(name, "n"),
        steps=tuple(
            replace(s, symbol=name if s.symbol == "f" else s.symbol, expression=renamed(s.expression)) for s in MGU.steps
        ),
        parameters=tuple(replace(parameter, gates=(name, "n")) for parameter in MGU.parameters),
    )


@pytest.mark.parametrize("name", HOSTILE)
def test_names_are_data(name: str) -> None:
    """Whatever a gate is called, the program is the same to the letter, and so is what it computes."""
    options = {"known": (), "widths": (2, 2), "there": ("b",), "padded": True}
    assert compiled(called(name), **options).text == compiled(called("any other"), **options).text
    spec, weights, inputs = drawn(MGU)
    right = replay(spec, weights, inputs)
    found = replay(replace(spec, cell=called(name)), weights, inputs)
    np.testing.assert_array_equal(found[name], right["f"])
    np.testing.assert_array_equal(found["h"], right["h"])


f, n, h, c = now("f"), now("n"), before("h"), before("c")
ODD = {
    "no input at all": (Step("h", "", tanh(recurrent_term("h", h))),),
    "nothing recurrent": (Step("h", "", tanh(input_term("h"))),),
    "readers of h apart": (
        Step("f", "", sigmoid(input_term("f") + recurrent_term("f", h))),
        Step("n", "", tanh(input_term("n") + recurrent_term("n", f * h))),
        Step("o", "", tanh(input_term("o") + recurrent_term("o", h))),
        Step("h", "", n * now("o")),
    ),
    "some see x and some do not": (
        Step("f", "", sigmoid(recurrent_term("f", h))),
        Step("n", "", tanh(input_term("n") + recurrent_term("n", h))),
        Step("h", "", f * n),
    ),
    "a diagonal in place of a matrix": (Step("h", "", tanh(input_term("h") + diagonal("h", h))),),
    "a diagonal of a sum": (Step("f", "", sigmoid(input_term("f"))), Step("h", "", f * diagonal("f", h - f))),
    "states alike": (
        Step("c", "", tanh(input_term("c") + recurrent_term("c", h))),
        Step("h", "", tanh(input_term("h") + recurrent_term("h", h))),
    ),
    "peepholes": PEEPHOLE.steps,
    "known beforehand in the midst of what is not": (
        Step("c", "", tanh(input_term("c"))),
        Step("h", "", tanh(input_term("h")) * tanh(recurrent_term("h", h) + diagonal("h", c) * now("c"))),
    ),
    "a gate that is no quantity": (Step("h", "", tanh(input_term("p") + recurrent_term("q", h)) * sigmoid(input_term("q"))),),
}


@pytest.mark.parametrize("known", [(), ("h",), ("c",)], ids=["free", "h known", "c known"])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("name", ODD)
def test_whatever_is_declared_is_what_is_computed(name: str, bias: bool, known: tuple[str, ...]) -> None:
    """A program computes what the expressions say of one another's values, whichever gates have which parameters."""
    leaves = [leaf for step in ODD[name] for leaf in step.expression.walk()]
    gates = tuple(dict.fromkeys(leaf.name for leaf in leaves if leaf.op in TERMS))
    states = tuple(step.symbol for step in ODD[name] if step.symbol in "hc")
    spec, weights, inputs = drawn(Cell("odd", name, gates, states, ODD[name]), bias=bias)
    free = replay(spec, weights, inputs)
    given = {key: values for key, values in free.columns.items() if key[2] in known}
    trace = replay(spec, weights, inputs, known=given or None, keep_terms=True)
    scope = Scope(spec.cell, weights[0, "forward"])
    states_before = {s: np.concatenate([trace.initial(s, 0, "forward")[None], trace[s][:-1]]) for s in states}
    scope.enter(inputs.x, scope.input_terms(inputs.x), {symbol: trace[symbol] for symbol in spec.cell.symbols}, states_before)
    for step in spec.cell.steps:
        np.testing.assert_allclose(trace[step.symbol], evaluate(step.expression, scope), atol=1e-14, err_msg=step.symbol)


def test_a_projection_makes_h_narrower() -> None:
    """Sak et al. 2014, peepholes and all: h is what W_hr leaves of o ⊙ tanh(c), and c is as wide as gates are."""
    *steps, last = PEEPHOLE.steps
    cell = Cell(
        "LSTMP", "projected", PEEPHOLE.gates, ("h", "c"), (*steps, replace(last, expression=projection(last.expression)))
    )
    spec, weights, inputs = drawn(cell, proj_size=2, num_layers=2)
    trace = replay(spec, weights, inputs)
    o, c = trace["o", 1], trace["c", 1]
    assert (c.shape[2], trace["h", 1].shape[2], spec.size_of("c"), spec.size_of("h")) == (3, 2, 3, 2)
    np.testing.assert_allclose(trace["h", 1], (o * np.tanh(c)) @ weights[1, "forward"].W_hr.T, atol=1e-14)
    with pytest.raises(SpecError, match="give a proj_size above 0"):
        replace(spec, proj_size=0)
    with pytest.raises(SpecError, match="proj_size"):
        ModuleSpec(cell=MGU, input_size=3, hidden_size=3, proj_size=2)
