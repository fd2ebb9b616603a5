"""`--names`: modules of one's own, whose parameters are not named as torch names them."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from commandline import all_in, ask, refused
from hypothesis import given
from hypothesis import strategies as st
from strategies import examples, specs
from torch import nn

import rnntrace
from rnntrace.model.layouts import group_by_module, parameters_of, recognise, weights_from_torch
from rnntrace.model.names import Renaming
from rnntrace.model.spec import ModuleSpec

pytestmark = pytest.mark.usefixtures("folder")


class Homemade(nn.Module):
    """A module whose parameters are lists over layers, one list for each part and direction."""

    def __init__(self, of: nn.Module, parts: dict[str, str]) -> None:
        super().__init__()
        for name, own in parts.items():
            found = [tensor for layer in range(2) for key, tensor in of.state_dict().items() if key == name.format(layer=layer)]
            setattr(self, own, nn.ParameterList(found))


LISTS = {
    f"{part}_l{{layer}}{reverse}": own + reverse
    for part, own in (("weight_ih", "W_ih"), ("weight_hh", "W_hh"), ("bias_ih", "B_ih"), ("bias_hh", "B_hh"))
    for reverse in ("", "_reverse")
}
PATTERNS = [
    "weight_ih=W_ih{_reverse}.{layer}",
    "weight_hh=W_hh{_reverse}.{layer}",
    "bias_ih=B_ih{_reverse}.{layer}",
    "bias_hh=B_hh{_reverse}.{layer}",
]


def flags(patterns: list[str]) -> list[str]:
    """One --names for each pattern."""
    return [word for pattern in patterns for word in ("--names", pattern)]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
@pytest.mark.parametrize("prefix", ["", "encoder."])
def test_lists_of_parameters_are_read(kind: str, prefix: str, capsys: pytest.CaptureFixture[str]) -> None:
    """`W_ih_reverse.1` is weight_ih_l1_reverse: kind, sizes and weights are torch's, and the comparison passes."""
    torch.manual_seed(0)
    module: nn.Module = getattr(nn, kind)(3, 4, num_layers=2, bidirectional=True)
    state = Homemade(module, LISTS).state_dict()
    assert "W_ih_reverse.1" in state
    torch.save({prefix + name: tensor for name, tensor in state.items()} | {"head.weight": torch.ones(2, 2)}, "own.pt")
    ((found, (spec, weights)),) = rnntrace.load("own.pt", names=PATTERNS).items()
    assert (found, spec.kind, spec.num_layers, spec.bidirectional) == (prefix.removesuffix("."), kind, 2, True)
    torchs = {name: tensor.numpy() for name, tensor in module.state_dict().items()}
    for name, array in parameters_of(spec, weights).items():
        np.testing.assert_array_equal(array, torchs[name])
    assert ask(capsys, "compare", "own.pt", *flags(PATTERNS), "--seed", "1", "-q").code == 0
    assert "1 recurrent module · 1 other tensor" in ask(capsys, "inspect", "own.pt", *flags(PATTERNS)).out
    assert all_in(("no recurrent module", "--names"), refused(capsys, "compare", "own.pt"))


def test_such_a_file_is_judged_by_torchs_own_output(capsys: pytest.CaptureFixture[str]) -> None:
    """A fault in one list is found in its layer and direction."""
    torch.manual_seed(0)
    module = nn.LSTM(3, 4, num_layers=2, bidirectional=True)
    x = torch.randn(5, 2, 3)
    np.save("x.npy", x.numpy())
    np.save("y.npy", module(x)[0].detach().numpy())
    state = Homemade(module, LISTS).state_dict()
    torch.save(state, "own.pt")
    arguments = ["compare", "own.pt", *flags(PATTERNS), "--input", "x.npy", "--expected", "y.npy", "--format", "json"]
    assert ask(capsys, *arguments).code == 0
    state["W_hh_reverse.1"] = state["W_hh_reverse.1"].roll(4, 0)
    torch.save(state, "own.pt")
    answer = ask(capsys, *arguments)
    assert answer.code == 1
    assert json.loads(answer.out)["first_failure"]["direction"] == "reverse"


def test_cells_and_single_layers_need_no_field() -> None:
    """A pattern without {layer} is layer 0; several modules lie beside one another by their prefixes."""
    cell = nn.GRUCell(3, 4).state_dict()
    own = {"weight_ih": "Wx", "weight_hh": "Wh", "bias_ih": "bx", "bias_hh": "bh"}
    torch.save({f"{prefix}.{own[name]}": tensor for prefix in "ab" for name, tensor in cell.items()}, "own.pt")
    found = rnntrace.load("own.pt", names=[f"{part}={name}" for part, name in own.items()])
    assert {name: (spec.kind, spec.num_layers) for name, (spec, _) in found.items()} == {"a": ("GRU", 1), "b": ("GRU", 1)}


def test_patterns_stand_beside_torchs_own_names() -> None:
    """What no pattern fits keeps its name; one part alone may be named otherwise."""
    state = nn.RNN(3, 4, num_layers=2).state_dict()
    torch.save({name.replace("bias_hh_l", "b."): tensor for name, tensor in state.items()}, "own.pt")
    ((spec, weights),) = rnntrace.load("own.pt", names=["bias_hh_l{layer}{reverse}=b.{layer}"]).values()
    np.testing.assert_array_equal(parameters_of(spec, weights)["bias_hh_l1"], state["bias_hh_l1"].numpy())


@pytest.mark.parametrize(
    ("pattern", "fragments"),
    [
        ("weight_ih", ("is no pattern", "weight_ih=W_ih{_reverse}.{layer}")),
        ("weight_ih=", ("is no pattern",)),
        ("=W", ("names no parameter of torch", "weight_ih, weight_hh, bias_ih, bias_hh")),
        ("kernel=W", ("names no parameter of torch",)),
        ("weight_ih=W{layer}{layer}", ("a field too many",)),
        ("weight_ih=W{a}{b}", ("a field too many",)),
        ("weight_ih=W{}", ("a field too many",)),
        ("weight_ih=W{layer", ("a brace that is not closed",)),
        ("weight_ih=W.{layer}", ("weight_hh",)),
        ("weight_hh=W_ih.{layer}", ("weight_ih",)),
        ("weight_ih=(W_ih|B_ih).{layer}", ("no recurrent module",)),
    ],
)
def test_a_pattern_that_cannot_be_is_refused(
    pattern: str, fragments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    """One line says what is wrong; nothing in a pattern is an expression but its fields."""
    torch.save({"W_ih.0": torch.ones(4, 3), "W.0": torch.ones(4, 3)}, "own.pt")
    assert all_in(fragments, refused(capsys, "inspect", "own.pt", "--names", pattern))


def test_two_parameters_that_become_one_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """Which of them is meant cannot be told."""
    torch.save(nn.RNN(3, 4).state_dict() | {"W": torch.ones(4, 3)}, "own.pt")
    line = refused(capsys, "inspect", "own.pt", "--names", "weight_ih=W")
    assert all_in(("weight_ih_l0", "W", "both", "--names"), line)


WORDS = st.text(
    st.characters(codec="utf-8", exclude_characters="{}=.", exclude_categories=["Cs", "Nd", "Z", "C"]), min_size=1, max_size=8
)


@pytest.mark.slow
@given(
    specs(("RNN", "LSTM", "GRU")),
    st.lists(WORDS, min_size=5, max_size=5, unique=True),
    WORDS,
    WORDS,
    st.sampled_from(["", "a.", "a.b."]),
)
@examples(100)
def test_names_by_a_pattern_are_read_back(spec: ModuleSpec, words: list[str], mark: str, joint: str, prefix: str) -> None:
    """Torch's parameters under names made by patterns, read by the same patterns, are the same module and weights."""
    parts = dict(zip(("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr"), words, strict=True))
    # The marks keep one word from being the beginning of another.
    renaming = Renaming([f"{part}=<{word}>{{{mark}}}{joint}{{layer}}" for part, word in parts.items()])
    generator = np.random.default_rng(0)
    torchs = {name: generator.standard_normal(shape) for name, shape in shapes_in_torch(spec).items()}
    own = {}
    for name, array in torchs.items():
        part, _, place = name.rpartition("_l")
        layer, _, reverse = place.partition("_")
        own[f"{prefix}<{parts[part]}>{mark if reverse else ''}{joint}{layer}"] = array
    read = {renaming(name): array for name, array in own.items()}
    ((found, names),) = group_by_module(read).items()
    assert (found, set(names)) == (prefix, set(torchs))
    again = {name: read[prefix + name] for name in names}
    weights = weights_from_torch(recognise(again, spec.dtype), again)
    for name, array in parameters_of(spec, weights).items():
        np.testing.assert_array_equal(array, torchs[name])


def shapes_in_torch(spec: ModuleSpec) -> dict[str, tuple[int, ...]]:
    """Shapes by name, from torch itself."""
    options = {"bias": spec.bias, "num_layers": spec.num_layers, "bidirectional": spec.bidirectional, "device": "meta"}
    if spec.kind == "LSTM":
        options["proj_size"] = spec.proj_size
    module: nn.Module = getattr(nn, spec.kind)(spec.input_size, spec.hidden_size, **options)
    return {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}


def test_the_file_need_not_be_torchs(capsys: pytest.CaptureFixture[str]) -> None:
    """Patterns are for every file of named arrays."""
    state = {
        name.replace("weight_", "W.").replace("bias_", "b."): tensor.numpy()
        for name, tensor in nn.LSTM(3, 4).state_dict().items()
    }
    np.savez("own.npz", **state)
    patterns = ["weight_ih=W.ih_l{layer}", "weight_hh=W.hh_l{layer}", "bias_ih=b.ih_l{layer}", "bias_hh=b.hh_l{layer}"]
    assert ask(capsys, "compare", Path("own.npz"), *flags(patterns), "--seed", "1", "-q").code == 0
