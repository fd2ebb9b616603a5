"""Weights that a module computes whenever it runs: weight norm and weight drop, beside torch's own."""

import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from commandline import all_in, ask, refused
from formats import NAMED
from torch import nn
from torch.nn.utils import parametrizations

import rnntrace
from rnntrace.model.dtypes import Array

pytestmark = [pytest.mark.usefixtures("folder"), pytest.mark.slow]

MODULES: dict[str, tuple[type[nn.RNNBase], dict[str, Any]]] = {
    "RNN": (nn.RNN, {}),
    "GRU": (nn.GRU, {}),
    "LSTM": (nn.LSTM, {"num_layers": 2, "bidirectional": True}),
    "projected LSTM": (nn.LSTM, {"proj_size": 2}),
}
I, H = 3, 4


def applied(form: str, module: nn.Module, name: str, dim: int | None = 0) -> None:
    """Weight norm of one of torch's two forms."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        (parametrizations.weight_norm if form == "parametrized" else nn.utils.weight_norm)(module, name, dim=dim)


def normed(form: str, which: str = "LSTM", dim: int | None = 0) -> tuple[nn.RNNBase, nn.RNNBase]:
    """A module with weight norm at its recurrent weights and at weight_ih_l0, and torch's plain one of the same weights."""
    torch.manual_seed(0)
    make, options = MODULES[which]
    module, plain = make(I, H, **options), make(I, H, **options)
    names = [
        name for name, _ in plain.named_parameters() if name.startswith(("weight_hh", "weight_hr")) or name == "weight_ih_l0"
    ]
    for name in names:
        applied(form, module, name, dim)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if name.endswith(("_g", "original0")):
                # Else it would be the norm of v, and nothing would have to be computed.
                parameter.mul_(torch.rand_like(parameter) + 0.5)
        if form != "parametrized":
            axis = -1 if dim is None else dim
            weights = {
                name: torch._weight_norm(getattr(module, f"{name}_v"), getattr(module, f"{name}_g"), axis) for name in names
            }
        else:
            weights = {name: getattr(module, name) for name in names}
        kept = {name: getattr(module, name) for name in plain.state_dict() if name not in names}
        plain.load_state_dict({**weights, **kept})
    return module, plain


def run(module: nn.RNNBase) -> None:
    """Save an input and what torch makes of it."""
    x = torch.randn(5, 2, I)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        output, _ = module(x)
    np.savez("x.npz", x=x.numpy())
    np.savez("y.npz", output=output.numpy())
    wrong = output.numpy().copy()
    wrong[-1, 0, 0] += 0.01
    np.savez("wrong.npz", output=wrong)


GIVEN = ("--input", "x.npz", "--expected")


@pytest.mark.parametrize("which", MODULES)
@pytest.mark.parametrize("form", ["by names", "parametrized"])
def test_weight_norm_is_computed(form: str, which: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What torch computes passes and is said, and one length or direction that is another fails."""
    module, plain = normed(form, which)
    run(plain)
    state = {f"model.rnn.{name}": tensor for name, tensor in module.state_dict().items()}
    torch.save({"state_dict": state, "head.weight": torch.zeros(2, H)}, "w.pt")
    answer = ask(capsys, "compare", "w.pt", *GIVEN, "y.npz", "-q")
    assert answer.code == 0
    assert all_in(("weight_hh_l0", "weight_ih_l0", "computed from weight norm"), answer.err)
    assert ask(capsys, "compare", "w.pt", *GIVEN, "wrong.npz", "-q").code == 1
    for name in state:
        if name.endswith(("_g", "_v", "original0", "original1")):
            changed = state[name].clone()
            changed[0, 0] += 0.3
            torch.save({"state_dict": {**state, name: changed}}, "changed.pt")
            assert ask(capsys, "compare", "changed.pt", *GIVEN, "y.npz", "-q").code == 1, name


@pytest.mark.parametrize("form", ["by names", "parametrized"])
def test_every_command_says_what_was_computed(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Beside torch, beside another file, in a run, in an explanation, and in a list of what is there."""
    module, plain = normed(form)
    torch.save(module.state_dict(), "w.pt")
    torch.save(plain.state_dict(), "plain.pt")
    says = "computed from weight norm, g·v/‖v‖"
    flags = ("-i", str(I), "-H", str(H), "--layers", "2", "--bidirectional")
    for arguments in (
        ("compare", "w.pt", "--seed", "1", "-q"),
        ("compare", "plain.pt", "w.pt", "--seed", "1", "-q"),
        ("run", "lstm", *flags, "--weights", "w.pt", "--seed", "1", "-q"),
        ("explain", "lstm", *flags, "--weights", "w.pt", "--seed", "1", "--at", "t=1"),
    ):
        answer = ask(capsys, *arguments)
        assert (answer.code, says in answer.err + answer.out) == (0, True), answer
    listed = ask(capsys, "inspect", "w.pt")
    assert all_in(("and 2 more " + says, "1 recurrent module · 0 other tensors"), listed.out)
    document = json.loads(ask(capsys, "inspect", "w.pt", "-f", "json").out)
    assert document["modules"][0]["remarks"] == [line.partition(": ")[2] for line in listed.out.splitlines() if says in line]


@pytest.mark.parametrize("how", NAMED)
def test_every_format_has_weight_norm(how: str) -> None:
    """The weights are torch's, up to its rounding, whatever the file."""
    module, plain = normed("by names", "GRU")
    Path("w").write_bytes(NAMED[how]({name: tensor.detach().numpy() for name, tensor in module.state_dict().items()}))
    ((_, weights),) = rnntrace.load("w").values()
    for found, own in zip(weights.columns[0, "forward"].arrays.values(), plain.state_dict().values(), strict=True):
        np.testing.assert_allclose(found.reshape(own.shape), own.numpy(), rtol=5e-7)


def weight(g: Any, v: Any, dtype: torch.dtype = torch.float32) -> Array:
    """The recurrent weights of an RNN with this g and v."""
    state = {
        "weight_ih_l0": torch.ones(len(v), 1, dtype=dtype),
        "weight_hh_l0_g": torch.tensor(g, dtype=dtype),
        "weight_hh_l0_v": torch.tensor(v, dtype=dtype),
    }
    torch.save(state, "w.pt")
    ((_, weights),) = rnntrace.load("w.pt").values()
    return weights.columns[0, "forward"].W_hh[0]


def test_rows_are_as_long_as_they_should_be() -> None:
    """By hand; whatever their length was, up to the ends of the format; a row of zeros has no direction, as in torch."""
    np.testing.assert_array_equal(weight([[10.0], [-1]], [[3.0, 4], [0, 2]]), [[6, 8], [0, -1]])
    for scale in (2.0**-140, 2.0**-20, 2.0**100):
        np.testing.assert_array_equal(weight([[10.0], [1]], [[3 * scale, 4 * scale], [0, 2]]), [[6, 8], [0, 1]])
    zeros = weight([[1.0], [1]], [[0.0, 0], [0, 2]])
    assert np.isnan(zeros[0]).all()
    assert np.isnan(torch._weight_norm(torch.zeros(1, 2), torch.ones(1, 1), 0).numpy()).all()
    np.testing.assert_array_equal(zeros[1], [0, 1])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_are_of_the_files_format(dtype: torch.dtype) -> None:
    """What is computed is rounded to it, and is torch's own up to one step."""
    g, v = torch.rand(5, 1, dtype=dtype) + 0.5, torch.randn(5, 5, dtype=dtype)
    found = weight(g.tolist(), v.tolist(), dtype)
    np.testing.assert_array_equal(torch.tensor(found).to(dtype).to(torch.float64), found)
    own = torch._weight_norm(v, g, 0).to(torch.float64)
    np.testing.assert_allclose(found, own, rtol=4 * torch.finfo(dtype).eps)


@pytest.mark.parametrize("form", ["by names", "parametrized"])
@pytest.mark.parametrize("dim", [1, None])
def test_another_weight_norm_is_refused(form: str, dim: int | None, capsys: pytest.CaptureFixture[str]) -> None:
    """By column, or of the whole matrix: told by the shape of g."""
    module, _ = normed(form, dim=dim)
    torch.save(module.state_dict(), "w.pt")
    assert all_in(("weight_hh_l0", "weight norm", "and the weights have none"), refused(capsys, "compare", "w.pt"))


@pytest.mark.parametrize("what", [parametrizations.orthogonal, parametrizations.spectral_norm])
def test_another_parametrization_is_refused(what: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """By name."""
    module = nn.LSTM(I, H)
    what(module, "weight_hh_l0")
    torch.save(module.state_dict(), "w.pt")
    assert all_in(("parametrizations.weight_hh_l0", "a parametrization"), refused(capsys, "compare", "w.pt"))


def test_what_is_not_whole_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """One of g and v alone, another number of rows, two formats, and the weight itself beside both."""
    module, plain = normed("by names")
    state = module.state_dict()
    g, v = state["weight_hh_l0_g"], state["weight_hh_l0_v"]
    broken: list[Mapping[str, torch.Tensor]] = [
        {name: tensor for name, tensor in state.items() if name != "weight_hh_l0_v"},
        {name: tensor for name, tensor in state.items() if name != "weight_hh_l0_g"},
        {**state, "weight_hh_l0_g": g[1:]},
        {**state, "weight_hh_l0_g": g[:, 0]},
        {**state, "weight_hh_l0_g": g.double()},
        {**state, "weight_hh_l0_v": v[:, :, None]},
        {**state, "weight_hh_l0": plain.state_dict()["weight_hh_l0"]},
    ]
    for content in broken:
        torch.save(content, "w.pt")
        assert all_in(("weight_hh_l0_", "weight norm"), refused(capsys, "compare", "w.pt"))
    torch.save({**state, "weight_hh_l0_v": v[:, 1:]}, "w.pt")
    assert "weight_hh_l0" in refused(capsys, "compare", "w.pt")


# --- weight drop ------------------------------------------------------------------------------------------------------


class WeightDrop(nn.Module):
    """AWD-LSTM's, as https://github.com/salesforce/awd-lstm-lm/blob/master/weight_drop.py has it."""

    def __init__(self, module: nn.LSTM, *, keeps: bool) -> None:
        super().__init__()
        self.module = module
        self.weight_hh_l0_raw = nn.Parameter(module.weight_hh_l0.detach() + 0.1)
        if not keeps:
            del module._parameters["weight_hh_l0"]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The output, without dropout."""
        plain = nn.LSTM(I, H)
        plain.load_state_dict({**self.module.state_dict(), "weight_hh_l0": self.weight_hh_l0_raw})
        output: torch.Tensor = plain(x)[0]
        return output


@pytest.mark.parametrize("keeps", [False, True])
def test_weight_drop_starts_from_the_raw_weight(keeps: bool, capsys: pytest.CaptureFixture[str]) -> None:
    """Whether the wrapper leaves the last dropped weight in the module or not; with that one the outputs are wrong."""
    torch.manual_seed(0)
    wrapper = WeightDrop(nn.LSTM(I, H), keeps=keeps)
    run(_Outputs(wrapper))
    torch.save({f"encoder.rnns.0.{name}": tensor for name, tensor in wrapper.state_dict().items()}, "w.pt")
    answer = ask(capsys, "compare", "w.pt", *GIVEN, "y.npz", "-q")
    assert answer.code == 0
    assert "weight_hh_l0 read from weight drop's _raw, as without dropout" in answer.err
    assert ("not from the one beside it, which is out of date" in answer.err) == keeps
    assert ask(capsys, "compare", "w.pt", *GIVEN, "wrong.npz", "-q").code == 1
    assert [*rnntrace.load("w.pt")] == ["encoder.rnns.0.module"]
    if keeps:
        assert ask(capsys, "compare", "w.pt", *GIVEN, "y.npz", "-q", "--ignore", "*_raw").code == 1


def test_weight_drop_without_a_wrapper(capsys: pytest.CaptureFixture[str]) -> None:
    """A module may keep the raw weight itself; digits that were typed stay with it."""
    state = nn.GRU(I, H).state_dict()
    state["weight_hh_l0_raw"] = state.pop("weight_hh_l0")
    torch.save(state, "w.pt")
    answer = ask(capsys, "compare", "w.pt", "--seed", "1", "-q")
    assert (answer.code, "_raw" in answer.err) == (0, True)
    typed = {name: np.round(tensor.double().numpy(), 4).tolist() for name, tensor in state.items()}
    found = rnntrace.inspect(str(_written(typed))).modules[""].half_units
    assert found is not None
    assert found.columns[0, "forward"].W_hh.max() == pytest.approx(5e-5)


def _written(content: object) -> Path:
    path = Path("w.json")
    path.write_text(json.dumps(content))
    return path


class _Outputs(nn.RNNBase):
    """A wrapper that is called like a module of torch."""

    def __init__(self, wrapper: nn.Module) -> None:
        nn.Module.__init__(self)
        self.wrapper = wrapper

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, None]:  # type: ignore[override]
        """The output alone."""
        return self.wrapper(x), None
