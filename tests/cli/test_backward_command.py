"""`rnntrace backward` as its users see it: a student's gradients, and what cannot be done."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from commandline import all_in, ask, refused
from torch import nn

import rnntrace
from rnntrace.model.dtypes import Array

Changed = Callable[[dict[str, Array]], None]


@pytest.fixture
def gradients(folder: Path) -> dict[str, Array]:
    """Weights and an input in files, and torch's gradients of the sum of the output."""
    torch.manual_seed(0)
    module, x = nn.LSTM(3, 2), torch.randn(5, 1, 3, requires_grad=True)
    torch.save(module.state_dict(), "w.pt")
    np.save("x.npy", x.detach().numpy())
    module(x)[0].sum().backward()
    return {**{name: p.grad.numpy() for name, p in module.named_parameters()}, "x": x.grad.numpy()}


def judged(capsys: pytest.CaptureFixture[str], *flags: str) -> tuple[int, str]:
    answer = ask(capsys, "backward", "w.pt", "--input", "x.npy", "--quiet", *flags)
    return answer.code, answer.out


@pytest.mark.parametrize("prefix", ["", "d_", "dL_d", "grad_", "d"])
def test_right_gradients_pass_under_any_name(
    gradients: dict[str, Array], prefix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """And torch is not loaded to say so: see the test of imports."""
    np.savez("g.npz", **{prefix + name: values for name, values in gradients.items()})
    code, line = judged(capsys, "--expected", "g.npz")
    assert (code, line[:4]) == (0, "PASS")


MISTAKES: dict[str, tuple[Changed, str]] = {
    "one gate's rows are scaled": (lambda g: g["weight_hh_l0"][2:4].__imul__(1.1), "∂W_hf[0, 0]"),
    "a bias is counted twice": (lambda g: g["bias_hh_l0"].__imul__(2), "∂b_hi[0]"),
    "x is not multiplied by the last gate": (lambda g: g["x"][3].__imul__(0.5), "∂x, t=4, unit 0"),
}


@pytest.mark.parametrize(("change", "where"), MISTAKES.values(), ids=MISTAKES)
def test_wrong_gradients_fail_where_they_are(
    change: Changed, where: str, gradients: dict[str, Array], capsys: pytest.CaptureFixture[str]
) -> None:
    """By the names of the equations."""
    change(gradients)
    np.savez("g.npz", **gradients)
    code, line = judged(capsys, "--expected", "g.npz")
    assert code == 1
    assert line.startswith(f"FAIL  first at {where}: replay ")


def test_typed_gradients_are_judged_to_their_digits(gradients: dict[str, Array], capsys: pytest.CaptureFixture[str]) -> None:
    """Four decimals pass, and one that is off by two units of the last does not."""
    typed = {name: np.round(values.astype(float), 4).tolist() for name, values in gradients.items()}
    Path("g.json").write_text(json.dumps(typed))
    assert judged(capsys, "--expected", "g.json")[1].startswith("PASS (rounded)")
    typed["bias_ih_l0"][3] += 2e-4
    Path("g.json").write_text(json.dumps(typed))
    code, line = judged(capsys, "--expected", "g.json")
    assert (code, "∂b_if[1]" in line) == (1, True)


def test_zeros_are_no_gradients(gradients: dict[str, Array], capsys: pytest.CaptureFixture[str]) -> None:
    """Nor is half of the right ones."""
    for factor in (0.0, 0.5):
        np.savez("g.npz", **{name: factor * values for name, values in gradients.items()})
        assert judged(capsys, "--expected", "g.npz")[0] == 1


def test_gates_that_were_worked_out(gradients: dict[str, Array], capsys: pytest.CaptureFixture[str]) -> None:
    """∂L/∂f and what stands before the activation, at every step; the first wrong one is the last step's."""
    result = rnntrace.backward("w.pt", "x.npy")
    given = {"d_f": result.gradients.of("f").copy(), "d_a_f": result.gradients.before_activation("f").copy()}
    np.savez("g.npz", **given)
    assert judged(capsys, "--expected", "g.npz")[0] == 0
    given["d_a_f"][1:4] = given["d_f"][1:4]
    np.savez("g.npz", **given)
    code, line = judged(capsys, "--expected", "g.npz")
    assert code == 1
    assert line.startswith("FAIL  first at ∂a_f, t=4, unit 0")


def test_given_gradients_of_the_output(gradients: dict[str, Array], capsys: pytest.CaptureFixture[str]) -> None:
    """In place of a loss: ones are the sum, by whatever name; a wrong shape is refused."""
    for name in ("output", "dL_doutput", "d_output"):
        np.savez("up.npz", **{name: np.ones((5, 1, 2), np.float32)})
        np.savez("g.npz", **gradients)
        assert judged(capsys, "--grad", "up.npz", "--expected", "g.npz")[0] == 0
    np.save("up.npy", np.ones((5, 2), np.float32))
    line = refused(capsys, "backward", "w.pt", "--input", "x.npy", "--grad", "up.npy")
    assert all_in(("output should have shape (5, 1, 2)", "has shape (5, 2)"), line)


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["lstm", "--loss", "cross"], "unknown loss 'cross': choose one of sum, last, mse"),
        (["lstm", "--loss", "mse"], "needs a --target"),
        (["lstm", "--target", "x.npy"], "--target belongs to --loss mse"),
        (["lstm", "--grad", "x.npy", "--loss", "last"], "leave --loss and --target out"),
        (["lstm", "--truncate", "0"], "--truncate is a number of steps, 1 or more"),
        (["lstm", "--clip-norm", "-1"], "--clip-norm must be a finite number above 0"),
        (["lstm", "--module", "encoder"], "--module belongs to a file of weights"),
        (["w.pt", "--hidden", "3"], "--hidden is said by the weights"),
        (["lstm", "--expected", "x.npy"], "--expected needs weights and --input that are given"),
        (["w.pt", "--input", "x.npy", "--expected", "x.npy"], "should hold gradients, such as weight_ih_l0"),
        (["nowhere.pt"], "nowhere.pt: there is no such file"),
        (["lstm", "--show", "gates"], "choose from gradients, states, parameters, norms, terms, all"),
    ],
)
def test_what_cannot_be_done_is_said(
    flags: list[str], says: str, gradients: dict[str, Array], capsys: pytest.CaptureFixture[str]
) -> None:
    """In a line, and nothing is written."""
    assert says in refused(capsys, "backward", *flags)


def test_what_fades_and_what_grows_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    """Norms over time have a table, and a word where they change a thousandfold."""
    answer = ask(capsys, "backward", "rnn", "--seed", "1", "-T", "60", "--loss", "last", "--show", "norms")
    assert answer.code == 0
    assert "norms over time" in answer.out
    assert "‖∂L/∂h‖ vanishes" in answer.err
    assert "W_hh has a spectral radius of 0.306" in answer.err
    assert "‖∂h_t/∂h_1‖" in answer.out


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("lstm", "∂c keeps fₜ of itself at each step, 0.453 on average"),
        ("gru", "∂h keeps zₜ of itself at each step, 0.5 on average"),
    ],
)
def test_the_gate_that_lets_gradients_vanish_is_named(kind: str, says: str, capsys: pytest.CaptureFixture[str]) -> None:
    """With what it lets through on average."""
    assert says in ask(capsys, "backward", kind, "--seed", "1", "-T", "60", "--loss", "last", "-q").err


def test_weights_that_let_gradients_explode_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An LSTM's gates let nothing grow: its recurrent weights do."""
    torch.manual_seed(0)
    module = nn.LSTM(3, 16)
    with torch.no_grad():
        module.weight_hh_l0 *= 12
    torch.save(module.state_dict(), tmp_path / "w.pt")
    answer = ask(capsys, "backward", tmp_path / "w.pt", "--seed", "1", "-T", "80", "--loss", "last", "-q")
    assert "explodes" in answer.err
    assert "weighs most of the recurrent weights" in answer.err


def test_nobody_to_judge_by_is_undecided(capsys: pytest.CaptureFixture[str]) -> None:
    """torch cannot truncate both directions; the replay is shown all the same."""
    answer = ask(capsys, "backward", "gru", "-b", "--truncate", "2", "--seed", "1")
    assert answer.code == 1
    assert answer.out.splitlines()[-1].startswith("UNDECIDED  nothing to judge by: torch cannot detach")


def test_in_python() -> None:
    """A module of torch with its x and hx; the result shows itself."""
    torch.manual_seed(0)
    module, x, h0 = nn.GRU(3, 2, batch_first=True), torch.randn(2, 4, 3), torch.randn(1, 2, 2)
    result = rnntrace.backward(module, x, h0, loss="last", truncate=2)
    assert result.passed
    assert result.gradients.of("z").shape == (4, 2, 2)
    assert "∂L/∂W_ih" in result._repr_html_()
    assert repr(result) == "<BackwardResult PASS: GRU(3, 2, batch_first=True), T=4, B=2>"


def test_the_mistake_is_named(gradients: dict[str, Array], capsys: pytest.CaptureFixture[str]) -> None:
    """What a FAIL says to type next, and its answer: the sign."""
    np.savez("g.npz", **{name: -values for name, values in gradients.items()})
    answer = ask(capsys, "backward", "w.pt", "--input", "x.npy", "--expected", "g.npz")
    hint = answer.err.strip().rpartition("rnntrace diagnose ")[2].split()
    found = ask(capsys, "diagnose", *hint)
    assert (answer.code, found.code) == (1, 0)
    assert "EXPLAINED  lstm.sum.sign" in found.out
    diagnosis = rnntrace.diagnose("w.pt", "x.npy", "g.npz", backward=True)
    assert [found.id for found in diagnosis.answers] == ["lstm.sum.sign"]
    assert rnntrace.mistakes("lstm", backward=True)["sum.sign"].fix in found.out.replace("\n", " ")


def test_a_loss_belongs_to_gradients(gradients: dict[str, Array], capsys: pytest.CaptureFixture[str]) -> None:
    """Without --backward it would be forgotten."""
    line = refused(capsys, "diagnose", "w.pt", "--input", "x.npy", "--expected", "x.npy", "--loss", "last")
    assert "--loss belongs to gradients: give --backward too" in line
    line = refused(capsys, "diagnose", "w.pt", "--backward", "--input", "x.npy")
    assert "give the gradients that are to be explained as --expected" in line


def test_mistakes_on_purpose_and_blindness(capsys: pytest.CaptureFixture[str]) -> None:
    """In the table, in the last line and in the JSON, and by the exit code; beside finite differences as well."""
    wrong = ask(
        capsys, "backward", "lstm", "--seed", "1", "-T", "3", "--check", "fd", "--mistake", "c-not-carried", "-f", "json"
    )
    told = json.loads(wrong.out)
    assert (wrong.code, [made["id"] for made in told["mistakes"]]) == (1, ["lstm.flow.c-not-carried"])
    assert told["environment"]["framework"] == "finite differences"
    blind = ask(capsys, "backward", "rnn", "--seed", "1", "-T", "3", "--blind", "--show", "states")
    assert blind.code == 0
    assert "blind to, judged by these gradients alone" in blind.out
    assert blind.out.splitlines()[-1].endswith("blind to 1 of 15 mistakes")
