"""Two files of weights: the same ones, the same in other clothes, or others altogether; and what is never called the same."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

import rnntrace
from rnntrace.engine.judge.result import Result
from rnntrace.errors import UsageError
from rnntrace.model.spec import ModuleSpec

State = dict[str, torch.Tensor]


def lstm(*, layers: int = 1, size: int = 3) -> State:
    torch.manual_seed(0)
    return {name: array.clone() for name, array in nn.LSTM(size, size, layers).state_dict().items()}


def compared(mine: object, theirs: object) -> Result:
    found = rnntrace.compare(mine, other=theirs, seed=1)
    assert isinstance(found, Result)
    return found


def blocks_ifog(state: State) -> State:
    """Gate blocks in the order i f o g."""
    return {name: array[torch.arange(12).reshape(4, 3)[[0, 1, 3, 2]].ravel()] for name, array in state.items()}


def recurrent_transposed(state: State) -> State:
    blocks = state["weight_hh_l0"].reshape(4, 3, 3).transpose(1, 2).reshape(12, 3)
    return {**state, "weight_hh_l0": blocks}


def one_bias(state: State) -> State:
    both = state["bias_ih_l0"] + state["bias_hh_l0"]
    return {**state, "bias_ih_l0": both, "bias_hh_l0": torch.zeros_like(both)}


ARRANGED: dict[str, tuple[Callable[[State], State], str]] = {
    "gate order": (blocks_ifog, "gate-order.ifoc"),
    "transposed": (recurrent_transposed, "transpose.W_hh"),
    "one bias": (one_bias, "both biases together are the same"),
}


@pytest.mark.parametrize(("change", "says"), ARRANGED.values(), ids=ARRANGED)
def test_the_same_weights_in_another_arrangement(change: Callable[[State], State], says: str) -> None:
    """Are named; and outputs that differ are a FAIL all the same."""
    result = compared(lstm(), change(lstm()))
    assert any(says in warning for warning in result.warnings), result.warnings
    assert result.passed == (change is one_bias)
    wrong = change(lstm())
    wrong["weight_ih_l0"][7, 1] += 1e-3
    result = compared(lstm(), wrong)
    assert not any(says in warning for warning in result.warnings)
    assert not result.passed


def test_a_layer_beside_a_cell() -> None:
    """Their weights are compared, and their outputs on a sequence."""
    torch.manual_seed(0)
    layer, cell = nn.LSTM(3, 2), nn.LSTMCell(3, 2)
    result = compared(layer.state_dict(), cell.state_dict())
    assert not result.passed
    assert any("other weights altogether" in warning for warning in result.warnings)
    same = {name.removesuffix("_l0"): array for name, array in layer.state_dict().items()}
    for pair in ((layer.state_dict(), same), (same, layer.state_dict())):
        result = compared(*pair)
        assert result.passed
        assert not any("weights" in warning for warning in result.warnings)
    with pytest.raises(UsageError, match="different modules"):
        compared(nn.LSTM(3, 2, 2).state_dict(), cell.state_dict())


def test_two_resets_are_the_same_weights_and_a_fail() -> None:
    """Each is replayed as it is: outputs differ."""
    torch.manual_seed(0)
    module = nn.GRU(3, 2)
    after = next(iter(rnntrace.load(module.state_dict()).values()))
    spec = ModuleSpec(kind="GRU", input_size=3, hidden_size=2, reset_after=False)
    result = compared(after, (spec, after[1]))
    assert not result.passed
    assert "the reset gate acts after the product" in result.contradictions[0]
    assert any("hold the same weights" in warning for warning in result.warnings)
    place = result.comparison.first_failure
    assert place is not None
    assert place.symbol == "n"


def test_another_number_format_is_rounding() -> None:
    state = lstm()
    half = {name: array.half() for name, array in state.items()}
    assert any("but for the rounding to float16" in warning for warning in compared(state, half).warnings)
    half["weight_hh_l0"][0, 0] += 0.01
    assert not any("rounding to float16" in warning for warning in compared(state, half).warnings)


def test_modules_of_other_names_stand_beside_their_like() -> None:
    """The only one of a kind and size in each file; two that are alike are not guessed at."""
    torch.manual_seed(0)
    encoder, decoder = nn.LSTM(3, 2), nn.GRU(3, 2)
    mine = nn.ModuleDict({"a": encoder, "b": decoder}).state_dict()
    theirs = nn.ModuleDict({"second": decoder, "first": encoder}).state_dict()
    results = rnntrace.compare(mine, other=theirs, seed=1)
    assert {name: result.passed for name, result in results.items()} == {"a": True, "b": True}  # type: ignore[union-attr]
    twice = nn.ModuleDict({"x": nn.LSTM(3, 2), "y": nn.LSTM(3, 2)}).state_dict()
    with pytest.raises(UsageError, match="choose with `module`"):
        rnntrace.compare(twice, other=nn.ModuleDict({"p": nn.LSTM(3, 2), "q": nn.LSTM(3, 2)}).state_dict(), seed=1)


def test_few_blocks_are_told_one_by_one() -> None:
    state = lstm(layers=2)
    state["weight_hh_l1"][0, 0] += 1
    warnings = compared(lstm(layers=2), state).warnings
    assert [warning for warning in warnings if "differs by up to" in warning] == ["layer 1, forward: W_hi differs by up to 1"]


def test_nan_is_not_the_same() -> None:
    state = lstm()
    state["weight_hh_l0"][0, 0] = np.nan
    result = compared(lstm(), state)
    assert not result.passed
    assert not any("same weights" in warning for warning in result.warnings)
