"""The catalogue, `rnntrace mistakes`, and mistakes made on purpose: what is declared is what is computed and said."""

import json
import re
from typing import Any

import numpy as np
import pytest
import torch
from commandline import all_in, ask, refused
from strategies import problem
from thorough import some

from rnntrace.cli.flags import in_flags
from rnntrace.engine.diagnose.case import Case
from rnntrace.engine.diagnose.mistake import catalogue
from rnntrace.model.kinds import KINDS
from rnntrace.model.spec import ModuleSpec

pytestmark = pytest.mark.usefixtures("folder")

CELLS = {
    "rnn": ModuleSpec(kind="RNN", input_size=2, hidden_size=2),
    "relu": ModuleSpec(kind="RNN", input_size=2, hidden_size=2, nonlinearity="relu"),
    "lstm": ModuleSpec(kind="LSTM", input_size=2, hidden_size=2),
    "projected": ModuleSpec(kind="LSTM", input_size=2, hidden_size=2, proj_size=1),
    "gru": ModuleSpec(kind="GRU", input_size=2, hidden_size=2),
    "reset before": ModuleSpec(kind="GRU", input_size=2, hidden_size=2, reset_after=False),
}
KNOWN_FROM_THE_FIELD = {
    "LSTM gates in another order": (23, r"lstm\.gate-order\..*"),
    "GRU gates in another order": (5, r"gru\.gate-order\..*"),
    "gates unit by unit": (2, r"lstm\.interleaved\..*"),
    "a bias dropped, twice, both missing": (5, r"lstm\.bias\.(hh|ih|both)-.*"),
    "forget bias added or missing": (2, r"lstm\.forget-bias\..*"),
    "matrices transposed": (3, r"lstm\.transpose\.(W_hh|W_ih|both)"),
    "hard sigmoids": (2, r"gru\.activation\.hard-sigmoid-[56]"),
    "tanh where sigmoid belongs": (3, r"lstm\.activation\.[ifo]-tanh"),
    "sigmoid where tanh belongs": (1, r"lstm\.activation\.g-sigmoid"),
    "tanh forgotten": (1, r"lstm\.equation\.tanh-forgotten"),
    "coupled gates": (2, r"lstm\.equation\.coupled-[if]"),
    "clipped cell": (4, r"lstm\.equation\.clip-.*"),
    "initial states ignored, exchanged, carried over": (5, r"lstm\.state\.(.*-ignored|swapped|carried-over)"),
    "time reversed": (2, r"rnn\.time\.reversed.*"),
    "batch and time exchanged": (1, r"rnn\.time\.batch-swapped"),
    "reset before the product": (1, r"gru\.equation\.reset-before"),
    "b_hn outside the reset": (1, r"gru\.bias\.hidden-outside-reset"),
    "z and 1 - z exchanged": (1, r"gru\.equation\.z-inverted"),
    "reverse direction not flipped back": (1, r"gru\.reading\.reverse-not-flipped"),
    "output[-1] for h_n": (1, r"gru\.reading\.last-output-as-h_n"),
    "halves exchanged": (1, r"gru\.reading\.halves-swapped"),
    "h_n stacked or viewed otherwise": (3, r"gru\.reading\.(directions-first|layers-reversed|viewed)"),
    "h0 of another layer or direction": (4, r"gru\.state\.(first-row|rows-reversed|directions-.*)"),
    "last layer's h to the next layer": (1, r"lstm\.recurrence\.layer-to-layer"),
    "lengths ignored": (1, r"lstm\.lengths\.ignored"),
    "Keras' mask": (1, r"lstm\.lengths\.repeated"),
    "relu for tanh": (1, r"rnn\.activation\.h-relu"),
    "h not updated": (2, r"lstm\.recurrence\.h-.*not-updated"),
    "off by one": (2, r"rnn\.time\.one-.*"),
    "half formats": (2, r"rnn\.precision\.b?float16"),
    "reshape for a transpose, of the whole or of blocks": (8, r"gru\.transpose\.reshaped.*"),
    "a neighbour unit's gate, and slices a row off": (10, r"lstm\.neighbour\..*"),
    "layers missing, with layer 0's weights, or one applied again": (7, r"gru\.layers\..*"),
    "c not handed on": (2, r"lstm\.(recurrence\.c-alone-not-updated|equation\.c-before-left-out)"),
    "tanh of the cell state before": (1, r"lstm\.equation\.tanh-of-old-c"),
    "r for z": (1, r"gru\.equation\.r-for-z"),
    "h overwritten in place": (1, r"rnn\.recurrence\.in-place"),
    "approximated activations": (7, r"lstm\.activation\.(hard-tanh|piecewise-.*|table-.*)"),
    "a smooth sigmoid for a hard one": (1, r"lstm\.activation\.smooth-sigmoid"),
    "the reverse direction from forward's last state": (1, r"gru\.direction\.reverse-from-forward"),
    "features flipped": (2, r"gru\.(time|direction)\.features-flipped"),
    "halves stacked": (3, r"gru\.reading\.stacked-.*"),
    "the output's axes exchanged": (1, r"gru\.reading\.axes-swapped"),
    "halves summed": (3, r"gru\.merge\..*"),
}
"""What people do, and how many entries are about it."""


def listed(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[dict[str, Any]]:
    """What `rnntrace mistakes` lists."""
    answer = ask(capsys, "mistakes", *arguments, "--format", "json")
    assert (answer.code, answer.err) == (0, "")
    found: list[dict[str, Any]] = json.loads(answer.out)["mistakes"]
    return found


def mistaken(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    """The document of a run with a mistake in it."""
    answer = ask(capsys, "run", *arguments, "--seed", "1", "--format", "json")
    found: dict[str, Any] = json.loads(answer.out)
    assert answer.code == (0 if found["passed"] else 1), answer.err
    return found


# --- the catalogue --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CELLS)
def test_entries_have_names_of_their_own_and_whole_sentences(name: str) -> None:
    """No id twice, ids of three parts, and words that a person can read after each other."""
    mistakes = catalogue(CELLS[name].cell)
    kind = CELLS[name].kind.lower()
    assert len({mistake.id for mistake in mistakes}) == len(mistakes)
    for mistake in mistakes:
        assert re.fullmatch(rf"{kind}\.[a-z-]+\.[A-Za-z0-9_-]+", mistake.id)
        assert mistake.family == mistake.id.split(".")[1]
        for words in (mistake.says, mistake.fix):
            assert words.strip() == words != ""
            assert not words.endswith(".")
            assert words.isprintable()


@pytest.mark.slow
@pytest.mark.parametrize("what", KNOWN_FROM_THE_FIELD)
def test_what_people_do_is_there(what: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Every mistake that is known from the field has its entries."""
    count, pattern = KNOWN_FROM_THE_FIELD[what]
    assert len([mistake for mistake in listed(capsys) if re.fullmatch(pattern, mistake["id"])]) == count


@pytest.mark.parametrize("name", CELLS)
def test_one_that_cannot_be_made_says_what_it_needs(name: str) -> None:
    """On one step of one item, without biases and from zeros, whatever cannot be made has a reason."""
    spec = CELLS[name]
    bare = ModuleSpec(**{**vars(spec), "bias": False, "hidden_size": spec.hidden_size, "dtype": "bfloat16"})
    made = problem(bare, 1, 1)
    zero = {f"{state}0": 0 * made.inputs.initial(state) for state in bare.cell.states}
    case = Case.of(bare, made.weights, made.inputs).with_inputs(**zero)
    impossible = [mistake for mistake in catalogue(bare.cell) if mistake.change(case) is None]
    assert len(impossible) > 10
    for mistake in impossible:
        # A cell that has an activation already is no place for it.
        assert mistake.needs, mistake.id


@pytest.mark.parametrize("kind", ["rnn", "lstm", "gru"])
def test_a_list_is_the_declarations(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    """In JSON and in words, of a kind, of its cell and of one family."""
    declared = [mistake.id for mistake in catalogue(CELLS[kind].cell)]
    assert [mistake["id"] for mistake in listed(capsys, kind)] == declared
    assert [mistake["id"] for mistake in listed(capsys, f"{kind}-cell")] == declared
    time = [mistake["id"] for mistake in listed(capsys, kind, "--family", "time")]
    assert time == [id for id in declared if id.split(".")[1] == "time"] != []
    text = ask(capsys, "mistakes", kind).out
    assert all(id in text for id in declared)
    assert all_in((f"{len(declared)} mistakes", "rnntrace run KIND --mistake ID"), text)


def test_every_kind_is_listed_by_default(capsys: pytest.CaptureFixture[str]) -> None:
    """Each with its own."""
    found = [mistake["id"] for mistake in listed(capsys)]
    assert found == [mistake.id for kind in ("rnn", "lstm", "gru") for mistake in catalogue(CELLS[kind].cell)]


def test_an_unknown_kind_or_family_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """With the choices there are."""
    assert "choose one of rnn, lstm, gru" in refused(capsys, "mistakes", "transformer")
    assert all_in(
        ("unknown family 'gates'", "gate-order, interleaved"), refused(capsys, "mistakes", "lstm", "--family", "gates")
    )


# --- made on purpose ------------------------------------------------------------------------------------------------------


def test_a_mistake_is_named_and_fails(capsys: pytest.CaptureFixture[str]) -> None:
    """In the headline, beside torch's honest values; the JSON names it as well."""
    answer = ask(capsys, "run", "lstm", "--seed", "1", "--mistake", "lstm.gate-order.iofc")
    assert (answer.code, answer.err) == (1, "")
    named = "deliberate mistake: lstm.gate-order.iofc, the blocks of gates were read in the order i o f g"
    assert named in answer.out
    assert "FAIL  first at f (forget gate), layer 0, forward, t=1" in answer.out
    (entry,) = mistaken(capsys, "lstm", "--mistake", "gate-order.iofc")["mistakes"]
    assert entry["id"] == "lstm.gate-order.iofc"


def test_what_is_shown_is_what_the_mistake_computes(capsys: pytest.CaptureFixture[str]) -> None:
    """Without the tanh, h of the first step is o·c of torch's own gates; c of it is right."""
    found = mistaken(capsys, "lstm", "--mistake", "tanh-forgotten", "--dtype", "float64")
    first = {entry["symbol"]: np.array(entry["values"])[0] for entry in found["trace"]}
    torchs = {entry["symbol"]: np.array(entry["framework"])[0] for entry in found["trace"]}
    np.testing.assert_allclose(first["c"], torchs["c"], rtol=1e-12)
    np.testing.assert_allclose(first["h"], torchs["o"] * torchs["c"], rtol=1e-12)
    assert found["first_failure"]["symbol"] == "h"
    assert np.array_equal(np.array(found["outputs"]["output"])[0], first["h"])


def test_exchanged_axes_are_brought_back(capsys: pytest.CaptureFixture[str]) -> None:
    """Batch and time exchanged: every value is torch's own of the exchanged input, at the place of the item that it is of."""
    flags = ("gru", "--mistake", "batch-swapped", "-B", "3", "--dtype", "float64", "--show", "weights")
    found = mistaken(capsys, *flags)
    (weights,) = found["weights"]
    module = torch.nn.GRU(3, 2, dtype=torch.float64)
    names = {"weight_ih_l0": "W_ih", "weight_hh_l0": "W_hh", "bias_ih_l0": "b_ih", "bias_hh_l0": "b_hh"}
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            parameter.copy_(torch.tensor(weights[names[name]], dtype=torch.float64).reshape(parameter.shape))
        output, _ = module(torch.tensor(found["inputs"]["x"], dtype=torch.float64).transpose(0, 1))
    h = next(np.array(entry["values"]) for entry in found["trace"] if entry["symbol"] == "h")
    np.testing.assert_allclose(h, output.transpose(0, 1).numpy(), atol=1e-12)
    np.testing.assert_allclose(found["outputs"]["output"], h, atol=0)


def test_two_mistakes_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    """Joined by + or given twice, in whatever order: the same run."""
    together = mistaken(capsys, "gru", "--mistake", "hh-dropped+z-inverted")
    apart = mistaken(capsys, "gru", "--mistake", "gru.equation.z-inverted", "--mistake", "gru.bias.hh-dropped")
    assert together == apart
    assert [entry["id"] for entry in together["mistakes"]] == ["gru.bias.hh-dropped", "gru.equation.z-inverted"]


def test_a_mistake_that_does_not_show_is_no_fail(capsys: pytest.CaptureFixture[str]) -> None:
    """W_hh transposed, one step from zeros: the exit code is that of the verdict, and the last line says why."""
    answer = ask(capsys, "run", "rnn", "--seed", "1", "-T", "1", "--mistake", "transpose.W_hh")
    assert answer.code == 0
    assert answer.out.splitlines()[-1].endswith("this run does not reveal the mistake")


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_every_mistake_can_be_made_somewhere(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    """In a small run of the kind each is made, or refused with what it needs; never anything else."""
    family = ["-i", "2", "--h0", "random"]
    if not kind.endswith("Cell"):
        family += ["--layers", "2", "--bidirectional", "-B", "2", "--lengths", "4,2"]
    if kind.startswith("LSTM"):
        family += ["--c0", "random"]
    made = 0
    for mistake in some(catalogue(ModuleSpec(kind=kind, input_size=1, hidden_size=1).cell), 6 if kind == "LSTM" else 3):
        answer = ask(capsys, "run", kind, *family, "--seed", "1", "--quiet", "--mistake", mistake.id)
        assert answer.code in (0, 1, 2), answer
        if answer.code == 2:
            assert f"{mistake.id} cannot be made in this run: it needs {in_flags(mistake.needs)}" in answer.err
            assert mistake.needs
        else:
            assert answer.out.startswith(("FAIL", "PASS", "IDENTICAL"))
            made += answer.code
    assert made > 5


def test_compare_makes_mistakes_as_well(capsys: pytest.CaptureFixture[str]) -> None:
    """On saved weights, beside torch."""
    torch.manual_seed(0)
    torch.save(torch.nn.GRU(3, 2).state_dict(), "w.pt")
    answer = ask(capsys, "compare", "w.pt", "--seed", "1", "--mistake", "reset-before", "--quiet")
    assert answer.code == 1
    assert answer.out.startswith("FAIL  first at n (candidate)")


def test_a_saved_mistake_is_shown_as_it_was(capsys: pytest.CaptureFixture[str]) -> None:
    """The trace keeps the mistaken values and the name of the mistake."""
    found = mistaken(capsys, "lstm", "--mistake", "coupled-i", "--save", "t.npz")
    again = json.loads(ask(capsys, "show", "t.npz", "--format", "json").out)
    assert again == found | {"command": "show"}


@pytest.mark.slow
def test_what_cannot_be_made_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """An id that there is not, one that this run has no room for, and flags that go another way."""
    line = refused(capsys, "run", "lstm", "--mistake", "lstm.gate-order.ifog")
    assert all_in(("is no mistake of LSTM: the nearest is lstm.gate-order.", "`rnntrace mistakes lstm` lists all"), line)
    assert "the nearest is gru.equation.reset-before" in refused(capsys, "run", "gru", "--mistake", "reset-befor")
    for kind, mistake, needs in (
        ("rnn", "h0-ignored", "--h0 random"),
        ("gru", "lengths.ignored", "--lengths 4,2"),
        ("lstm", "halves-swapped", "--bidirectional"),
        ("lstm", "layer-to-layer", "--layers 2"),
        ("lstm", "h0-ignored+halves-swapped", "--h0 random"),
    ):
        assert all_in(("cannot be made in this run: it needs ", needs), refused(capsys, "run", kind, "--mistake", mistake))
    assert "leave --no-bias out" in refused(capsys, "run", "gru", "--no-bias", "--mistake", "hh-dropped")
    for flags in (("--replay", "forced"), ("--replay-dtype", "float64"), ("--show", "terms")):
        assert "leave one of them out" in refused(capsys, "run", "gru", "--mistake", "hh-dropped", *flags)
    ask(capsys, "run", "gru", "--seed", "1", "--quiet", "--save", "t.npz")
    assert "leave it or the second file out" in refused(capsys, "compare", "t.npz", "t.npz", "--mistake", "hh-dropped")
