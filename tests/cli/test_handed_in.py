"""`--expected`: everything that was handed in is judged, or named; what is not what it seems is refused."""

import json
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from commandline import all_in, ask, refused
from torch import nn

from rnntrace.model.dtypes import Array

pytestmark = pytest.mark.usefixtures("folder")

T, B, I, H = 4, 3, 2, 3
Arrays = dict[str, Array]

KINDS = {"RNN": 1, "LSTM": 4, "GRU": 3}
SIZES: dict[str, dict[str, Any]] = {
    "one layer": {},
    "two layers of two directions": {"num_layers": 2, "bidirectional": True},
}


def sigmoid(a: Array) -> Array:
    """1 / (1 + exp(-a))."""
    return 1 / (1 + np.exp(-a))


def column(kind: str, state: Mapping[str, Array], x: Array, layer: int, way: str) -> Arrays:
    """Gates and states of one layer and direction, (T, B, H) from zeros, by the equations in the documentation of torch.nn."""
    W, U, b, d = (state[f"{part}_l{layer}{way}"] for part in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))
    h = c = np.zeros((x.shape[1], H))
    found: dict[int, Arrays] = {}
    for t in range(len(x))[:: -1 if way else 1]:
        mine, own = np.split(x[t] @ W.T + b, KINDS[kind], 1), np.split(h @ U.T + d, KINDS[kind], 1)
        step: Arrays = {}
        if kind == "RNN":
            h = np.tanh(mine[0] + own[0])
        elif kind == "LSTM":
            i, f, g, o = (act(p + q) for act, p, q in zip((sigmoid, sigmoid, np.tanh, sigmoid), mine, own, strict=True))
            c = f * c + i * g
            h = o * np.tanh(c)
            step = {"i": i, "f": f, "g": g, "o": o, "c": c}
        else:
            r, z = sigmoid(mine[0] + own[0]), sigmoid(mine[1] + own[1])
            n = np.tanh(mine[2] + r * own[2])
            h = (1 - z) * n + z * h
            step = {"r": r, "z": z, "n": n}
        found[t] = {**step, "h": h}
    return {symbol: np.stack([found[t][symbol] for t in range(len(x))]) for symbol in found[0]}


def by_hand(kind: str, state: Mapping[str, Array], x: Array) -> dict[tuple[int, str, str], Array]:
    """Every gate and state of a module by (layer, direction, symbol)."""
    ways = {"forward": "", "reverse": "_reverse"} if "weight_ih_l0_reverse" in state else {"forward": ""}
    found, layer = {}, 0
    while f"weight_ih_l{layer}" in state:
        columns = {direction: column(kind, state, x, layer, way) for direction, way in ways.items()}
        found |= {(layer, direction, symbol): a for direction, own in columns.items() for symbol, a in own.items()}
        x = np.concatenate([own["h"] for own in columns.values()], axis=2)
        layer += 1
    return found


def made(kind: str = "LSTM", batch: int = B, **options: Any) -> tuple[Arrays, Arrays, dict[tuple[int, str, str], Array]]:
    """A module of torch saved as module.npz, and x.npy; its outputs by torch, and its gates by hand. All in float64."""
    torch.manual_seed(3)
    module = getattr(nn, kind)(I, H, dtype=torch.float64, **options)
    state = {name: value.numpy() for name, value in module.state_dict().items()}
    np.savez("module.npz", **state)
    x = torch.randn(T, batch, I, dtype=torch.float64)
    np.save("x.npy", x.swapaxes(0, 1).numpy() if options.get("batch_first") else x.numpy())
    with torch.no_grad():
        output, states = module(x.swapaxes(0, 1) if options.get("batch_first") else x)
    states = states if kind == "LSTM" else (states,)
    outputs = {name: value.numpy() for name, value in zip(("output", "h_n", "c_n"), (output, *states), strict=False)}
    return state, outputs, by_hand(kind, state, x.numpy())


def off(array: Array, by: float = 0.01) -> Array:
    """The same with its last value wrong."""
    wrong = array.copy()
    wrong.flat[-1] += by
    return wrong


def asked(*more: str) -> tuple[str, ...]:
    """The comparison with y.npz."""
    return ("compare", "module.npz", "--input", "x.npy", "--expected", "y.npz", *more)


def document(capsys: pytest.CaptureFixture[str], *more: str, **arrays: Array) -> dict[str, Any]:
    """The JSON answer on these arrays, whatever the verdict."""
    np.savez("y.npz", **arrays)
    answer = ask(capsys, *asked("-f", "json", *more))
    assert answer.code in (0, 1), answer
    found: dict[str, Any] = json.loads(answer.out)
    assert found["passed"] == (answer.code == 0)
    return found


def names(key: tuple[int, str, str], alone: bool) -> Iterator[str]:
    """Every name of a gate or state."""
    layer, direction, symbol = key
    yield f"{layer}.{direction}.{symbol}"
    yield f"{symbol}_l{layer}" + ("_reverse" if direction == "reverse" else "")
    if alone:
        yield from (symbol, symbol.upper())


# --- gates and states -------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("kind", KINDS)
def test_every_gate_and_state_is_judged_in_every_layer(kind: str, sizes: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Right ones pass beside the output and alone, under each of their names; one wrong value is a FAIL that names it."""
    _, outputs, gates = made(kind, **SIZES[sizes])
    canonical = {key: next(reversed([*names(key, sizes == "one layer")][:3:2])) for key in gates}
    everything = {canonical[key]: values for key, values in gates.items()}
    found = document(capsys, **outputs, **everything)
    assert found["passed"]
    assert found["judged"] == [*outputs, *everything]
    assert (found["missing"], found["unused"], found["warnings"]) == ([], [], [])
    for key, values in gates.items():
        assert document(capsys, **{canonical[key]: values})["passed"]
        for name in names(key, sizes == "one layer"):
            found = document(capsys, **outputs, **{name: off(values)})
            place = found["first_failure"]
            assert (place["layer"], place["direction"], place["symbol"]) == key, name
            assert (found["judged"], found["passed"]) == ([*outputs, canonical[key]], False)
            assert found["trace"][[*gates].index(key)]["framework"] is not None


def test_the_first_wrong_gate_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    """All gates and the cell state off beside a right output: what is computed first, at the first step."""
    _, outputs, gates = made()
    wrong = {symbol: values + 5 for (*_, symbol), values in gates.items() if symbol != "h"}
    np.savez("y.npz", output=outputs["output"], **wrong)
    answer = ask(capsys, *asked("-q"))
    assert answer.code == 1
    assert "FAIL  first at i (input gate), layer 0, forward, t=1, item 0, unit 0" in answer.out
    np.savez("y.npz", output=outputs["output"], o=wrong["o"])
    assert "FAIL  first at o (output gate)" in ask(capsys, *asked("-q")).out


@pytest.mark.slow
@pytest.mark.parametrize("format", ["table", "plain", "json", "jsonl", "csv", "markdown", "latex", "html"])
def test_every_format_shows_the_gates_that_were_given(format: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The value given for a gate stands in it, to the last digit where nothing is rounded."""
    _, outputs, gates = made(batch=1)
    given = gates[0, "forward", "f"]
    given[2, 0, 1] = 123.456789
    np.savez("y.npz", output=outputs["output"], f=given)
    answer = ask(capsys, *asked("-f", format))
    assert answer.code == 1
    assert ("123.456789" if format in ("json", "jsonl", "csv") else "123.45") in answer.out


@pytest.mark.slow
@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_shapes_of_gates(kind: str, batch_first: bool, capsys: pytest.CaptureFixture[str]) -> None:
    """(T, B, H), with batch_first (B, T, H); (T, H) for one item, whether x has the axis of the batch or not."""
    flags = ["--batch-first"] if batch_first else []
    _, _, gates = made(kind, batch_first=batch_first)
    for (*_, symbol), values in gates.items():
        given = values.swapaxes(0, 1) if batch_first else values
        assert document(capsys, *flags, **{symbol: given})["passed"]
        assert not document(capsys, *flags, **{symbol: off(given)})["passed"]
        np.savez("y.npz", **{symbol: given.swapaxes(0, 1)})
        assert all_in((f"{symbol} should have shape", "the other way round"), refused(capsys, *asked(*flags)))
    _, _, gates = made(kind, batch=1, batch_first=batch_first)
    for x in (np.load("x.npy"), np.load("x.npy").reshape(T, I)):
        np.save("x.npy", x)
        for (*_, symbol), values in gates.items():
            for given in (values.swapaxes(0, 1) if batch_first else values, values[:, 0]):
                assert document(capsys, *flags, **{symbol: given})["passed"]
                assert not document(capsys, *flags, **{symbol: off(given)})["passed"]


@pytest.mark.slow
def test_gates_of_shorter_sequences(capsys: pytest.CaptureFixture[str]) -> None:
    """Behind the end of a sequence nothing is judged, whatever stands there, and before it everything."""
    state, _, _ = made()
    x = np.load("x.npy")
    gates = column("LSTM", state, x[:2, 1:2], 0, "")
    f = np.full((T, B, H), np.nan)
    whole = column("LSTM", state, x, 0, "")["f"]
    f[:, 0], f[:2, 1], f[:1, 2] = whole[:, 0], gates["f"][:, 0], whole[:1, 2]
    flags = ("--lengths", "4,2,1")
    assert document(capsys, *flags, f=f)["passed"]
    for place in ((3, 0, 0), (1, 1, 2), (0, 2, 1)):
        for wrong in (f[place] + 0.01, np.nan, np.inf):
            given = f.copy()
            given[place] = wrong
            assert not document(capsys, *flags, f=given)["passed"]


def test_an_output_behind_the_end_of_a_sequence_is_wrong_by_itself(capsys: pytest.CaptureFixture[str]) -> None:
    """torch has zeros there. Every hidden state is right, and what the line counts is not nothing."""
    _, outputs, _ = made()
    output = outputs["output"].copy()
    output[3:, 1:] = 7
    np.savez("y.npz", output=output)
    line = ask(capsys, *asked("--lengths", "4,3,3", "-q")).out
    assert all_in(
        ("first at output, layer 0, forward, t=4, item 1, unit 0: replay 0, expected 7", " single steps out of "), line
    )


def test_right_values_do_not_vouch_for_others(capsys: pytest.CaptureFixture[str]) -> None:
    """What cannot be told in bfloat16, zeros here, is not decided by handing in the right state of the layer below as well."""
    torch.manual_seed(0)
    module, x = nn.RNN(8, 512, 2, dtype=torch.bfloat16), torch.randn(T, B, 8, dtype=torch.bfloat16)
    torch.save(module.state_dict(), "rnn.pt")
    torch.save({"x": x}, "x.pt")
    with torch.no_grad():
        output, h_n = module(x)
    lower = h_n * torch.tensor([1, 0], dtype=torch.bfloat16)[:, None, None]
    for given, verdict in (
        ({"output": output, "h_n": h_n}, "PASS"),
        ({"output": 0 * output, "h_n": lower}, "UNDECIDED  agreement says nothing of output, h_n"),
        ({"h_n": lower}, "UNDECIDED  agreement says nothing of h_n"),
    ):
        torch.save(given, "y.pt")
        answer = ask(capsys, "compare", "rnn.pt", "--input", "x.pt", "--expected", "y.pt", "-q")
        assert answer.out.startswith(verdict)


@pytest.mark.slow
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_nothing_that_is_not_finite_passes(value: float, capsys: pytest.CaptureFixture[str]) -> None:
    """In any of the arrays, also in a single value."""
    _, outputs, gates = made()
    given = {**outputs, **{symbol: values for (*_, symbol), values in gates.items()}}
    for name, values in given.items():
        wrong = values.copy()
        wrong.flat[4] = value
        assert not document(capsys, **given | {name: wrong})["passed"], name
        assert not document(capsys, **{name: wrong})["passed"], name
        assert not document(capsys, **{name: np.full_like(values, value)})["passed"], name


# --- names ------------------------------------------------------------------------------------------------------------

ALIASES = {
    "output": ["Output", "OUTPUT", "Y", "y"],
    "h_n": ["hn", "H_N", "HN", "Y_h", "y_h", "Y_H"],
    "c_n": ["cn", "C_n", "Y_c", "y_c"],
}


@pytest.mark.slow
@pytest.mark.parametrize(("name", "alias"), [(name, alias) for name, aliases in ALIASES.items() for alias in aliases])
def test_other_words_for_the_outputs(name: str, alias: str, capsys: pytest.CaptureFixture[str]) -> None:
    """They are judged, and called by torch's name; beside that name they are refused, right or wrong."""
    _, outputs, _ = made()
    found = document(capsys, **{alias: outputs[name]})
    assert (found["passed"], found["judged"], found["unused"]) == (True, [name], [])
    assert not document(capsys, **{alias: off(outputs[name])})["passed"]
    for second in (outputs[name], off(outputs[name])):
        np.savez("y.npz", **{name: outputs[name], alias: second})
        assert all_in((f"{name} and {alias} both mean {name}",), refused(capsys, *asked()))


@pytest.mark.parametrize(("first", "second", "meant"), [("i", "i_l0", "i"), ("i_l0", "0.forward.i", "i"), ("c", "C", "c")])
def test_two_spellings_of_a_gate_are_refused(first: str, second: str, meant: str, capsys: pytest.CaptureFixture[str]) -> None:
    """One of them would go unjudged."""
    _, _, gates = made()
    np.savez("y.npz", **{first: gates[0, "forward", meant], second: gates[0, "forward", meant]})
    assert all_in((f"{first} and {second} both mean {meant}", "leave one"), refused(capsys, *asked()))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("outputs", "output"), ("ouput", "output"), ("output_1", "output"), ("out", "output"),
        ("h_0", "h_n"), ("h_t", "h_n"), ("hT", "h_n"), ("h1", "h_n"), ("H_0", "h_n"), ("hidden", "h_n"),
        ("c_0", "c_n"), ("c_t", "c_n"), ("cT", "c_n"), ("cell", "c_n"),
        ("input_gate", "i"), ("forgetGate", "f"), ("cell_state", "c"), ("hidden state", "h"),
        ("i_l1", "i"), ("0.reverse.i", "i"), ("1.forward.f", "f"), ("0.foward.g", "g"), ("o_l0_rev", "o"), ("0/forward/i", "i"),
    ],
)  # fmt: skip
def test_names_that_are_nearly_right_are_refused(name: str, meant: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Beside right outputs, wherever they stand; --ignore leaves them out on purpose."""
    _, outputs, _ = made()
    with zipfile.ZipFile("y.npz", "w") as archive:
        for key, array in {**outputs, name: outputs["output"]}.items():
            np.save("a.npy", array)
            archive.write("a.npy", f"{key}.npy")
    Path("a.npy").unlink()
    line = refused(capsys, *asked())
    assert all_in((f"{name} is not a name that is read", f"did you mean {meant}?", "--ignore"), line)
    assert ask(capsys, *asked("--ignore", name)).code == 0


def test_a_symbol_does_not_tell_the_layer_of_a_stack(capsys: pytest.CaptureFixture[str]) -> None:
    """The line says how it is written."""
    _, outputs, _ = made(num_layers=2)
    np.savez("y.npz", output=outputs["output"], i=outputs["output"])
    assert all_in(("i is not a name", "did you mean 0.forward.i?"), refused(capsys, *asked()))


def test_arrays_of_other_names_are_warned_of_and_listed(capsys: pytest.CaptureFixture[str]) -> None:
    """Inputs in the same file, gates of another kind, anything else; a control code in a name does not reach the terminal."""
    _, outputs, _ = made("GRU")
    found = document(capsys, **outputs, x=np.zeros(3), f=np.zeros(3), loss=np.zeros(1))
    assert found["unused"] == ["x", "f", "loss"]
    assert all_in(("y.npz", "x, f, loss", "output, h_n, r, z, n, h"), " ".join(found["warnings"]))
    answer = ask(capsys, *asked("-q"))
    assert (answer.code, "x, f, loss" in answer.err) == (0, True)
    found = document(capsys, "--ignore", "x", "--ignore", "[fl]*", **outputs, x=np.zeros(3), f=np.zeros(3), loss=np.zeros(1))
    assert (found["unused"], found["warnings"]) == ([], [])


def test_one_array_of_any_name_is_the_output_and_no_other(capsys: pytest.CaptureFixture[str]) -> None:
    """Unless its name says that it is something else, or nearly so."""
    _, outputs, gates = made()
    for name in ("arr_0", "outputs", "prediction"):
        found = document(capsys, **{name: outputs["output"]})
        assert (found["passed"], found["judged"]) == (True, ["output"])
        assert not document(capsys, **{name: off(outputs["output"])})["passed"]
    assert document(capsys, h=gates[0, "forward", "h"])["judged"] == ["h"]
    np.savez("y.npz", h_0=outputs["output"])
    assert all_in(("h_0 is not", "did you mean h_n?"), refused(capsys, *asked()))


@pytest.mark.parametrize("content", [np.zeros((T, B, H), complex), np.array(["a", "b"])], ids=["complex", "words"])
def test_what_cannot_be_read_under_a_right_name_is_refused(content: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Also beside a single array that would do, or beside others of right names."""
    _, outputs, _ = made()
    for name in ("output", "Y", "h_n", "i"):
        for others in ({"foo": outputs["output"]}, {"c_n": outputs["c_n"]}, {}):
            np.savez("y.npz", **{name: content}, **others)
            assert all_in((f"{name} should hold numbers, and holds an array of",), refused(capsys, *asked()))
    np.savez("y.npz", output=outputs["output"], foo=content)
    assert json.loads(ask(capsys, *asked("-f", "json")).out)["unused"] == ["foo"]


# --- a name twice -----------------------------------------------------------------------------------------------------


def twice(right: Array, wrong: Array, path: str) -> None:
    """An archive with two members of one name."""
    with zipfile.ZipFile(path, "w") as archive:
        np.save("a.npy", wrong)
        archive.write("a.npy", "output.npy")
        np.save("a.npy", right)
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.write("a.npy", "output.npy")


def test_a_member_of_an_archive_twice(capsys: pytest.CaptureFixture[str]) -> None:
    """The last would win, as numpy reads it."""
    _, outputs, _ = made()
    twice(outputs["output"], off(outputs["output"]), "y.npz")
    assert all_in(("y.npz", "'output' twice"), refused(capsys, *asked()))
    np.savez("y.npz", **outputs)
    twice(np.load("x.npy"), np.load("x.npy") + 1, "x.npz")
    assert all_in(
        ("x.npz", "'output' twice"), refused(capsys, "compare", "module.npz", "--input", "x.npz", "--expected", "y.npz")
    )


@pytest.mark.parametrize("where", ["--expected", "--input", "weights"])
def test_a_key_of_json_twice(where: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The last would win, as every JSON library reads it."""
    words = {
        "weights": '{"weight_ih_l0": [[1]], "weight_hh_l0": [[0.5]]}',
        "--input": '{"x": [[0.5]]}',
        "--expected": '{"output": [[0.46211716]]}',
    }
    assert ask(capsys, "compare", words["weights"], "--input", words["--input"], "--expected", words["--expected"]).code == 0
    name = {"weights": "weight_hh_l0", "--input": "x", "--expected": "output"}[where]
    words[where] = words[where].replace("}", f', "{name}": [[0.25]]}}')
    line = refused(capsys, "compare", words["weights"], "--input", words["--input"], "--expected", words["--expected"])
    assert all_in((f"{name!r} twice",), line)


@pytest.mark.parametrize("old", [False, True])
def test_a_key_of_a_state_dict_twice(old: bool, capsys: pytest.CaptureFixture[str]) -> None:
    """In a pickle the last would win; names that come out alike are told too."""
    state = {"weight_ih_l0": torch.ones(1, 1), "weight_hh_l0": torch.ones(1, 1), "weight_hh_l9": torch.zeros(1, 1)}
    torch.save(state, "w.pt", _use_new_zipfile_serialization=not old)
    content = Path("w.pt").read_bytes()
    if old:
        Path("w.pt").write_bytes(content.replace(b"weight_hh_l9", b"weight_hh_l0"))
    else:
        with zipfile.ZipFile("w.pt") as archive:
            members = {name: archive.read(name).replace(b"weight_hh_l9", b"weight_hh_l0") for name in archive.namelist()}
        with zipfile.ZipFile("w.pt", "w") as archive:
            for name, data in members.items():
                archive.writestr(name, data)
    # torch itself sees no more than two.
    assert len(torch.load("w.pt", weights_only=True)) == 2
    for command in (("compare", "w.pt"), ("inspect", "w.pt"), ("compare", "w.pt", "--input", "w.pt")):
        assert all_in(("w.pt", "'weight_hh_l0' twice"), refused(capsys, *command))
    torch.save({"a.b": torch.ones(1), "a": {"b": torch.ones(1)}}, "w.pt")
    assert all_in(("'a.b' twice",), refused(capsys, "compare", "w.pt"))


@pytest.mark.slow
def test_a_checkpoint_with_much_in_it_has_no_key_twice(capsys: pytest.CaptureFixture[str]) -> None:
    """Thousands of keys, which a pickle writes in parts, the same keys in several mappings, and Python 2's OrderedDict."""
    state = nn.GRU(2, 3).state_dict()
    more = {f"k{number}": torch.zeros(1) for number in range(2_500)}
    content = {"model": state, "ema": state, "more": more, "numbers": [1, 2, (3, 4)], "steps": {0: {"a": 1}, 1: {"a": 1}}}
    for old in (False, True):
        torch.save(content, "w.pt", _use_new_zipfile_serialization=not old)
        assert ask(capsys, "inspect", "w.pt").code == 0


def test_a_tensor_of_safetensors_twice(capsys: pytest.CaptureFixture[str]) -> None:
    """Two entries in its header."""
    entry = '"x":{"dtype":"F32","shape":[1,1],"data_offsets":[%d,%d]}'
    for header in (f"{{{entry % (0, 4)},{entry % (4, 8)}}}", f"{{{entry % (0, 4)},{entry % (0, 4)}}}"):
        size = 8 if "[4,8]" in header else 4
        Path("x.safetensors").write_bytes(len(header).to_bytes(8, "little") + header.encode() + bytes(size))
        assert all_in(("x.safetensors",), refused(capsys, "run", "rnn", "-i", "1", "--input", "x.safetensors"))


# --- what is required -------------------------------------------------------------------------------------------------


def test_what_is_required_must_be_there(capsys: pytest.CaptureFixture[str]) -> None:
    """Under any of its names; a symbol alone asks for it in every layer and direction."""
    _, outputs, gates = made(num_layers=2)
    given = {
        "Y": outputs["output"],
        "hn": outputs["h_n"],
        "i_l0": gates[0, "forward", "i"],
        "1.forward.i": gates[1, "forward", "i"],
    }
    np.savez("y.npz", **given)
    for names_ in ("output", "y,h_n", "Y_h, output", "0.forward.i", "i", "I,output"):
        assert ask(capsys, *asked("--require", names_)).code == 0, names_
    assert all_in(("y.npz", "c_n", "--require"), refused(capsys, *asked("--require", "output,c_n")))
    assert all_in(("f_l1",), refused(capsys, *asked("--require", "i,f_l1")))
    del given["i_l0"]
    np.savez("y.npz", **given)
    assert all_in(("does not hold i,",), refused(capsys, *asked("--require", "i")))


def test_the_output_of_the_last_step_is_no_output(capsys: pytest.CaptureFixture[str]) -> None:
    """What Keras' return_sequences=False gives is h_n, for any model, and is called so; beside another h_n both are judged."""
    _, outputs, _ = made(bidirectional=True)
    last = np.concatenate(list(outputs["h_n"]), axis=1)
    found = document(capsys, output=last)
    assert (found["passed"], found["judged"], found["missing"]) == (True, ["h_n"], ["output", "c_n"])
    assert all_in(("does not hold output",), refused(capsys, *asked("--require", "output")))
    assert not document(capsys, output=off(last))["passed"]
    assert document(capsys, output=last, h_n=outputs["h_n"])["passed"]
    for wrong in ({"output": off(last), "h_n": outputs["h_n"]}, {"output": last, "h_n": off(outputs["h_n"])}):
        assert not document(capsys, **wrong)["passed"]


def test_what_cannot_be_required(capsys: pytest.CaptureFixture[str]) -> None:
    """A name without meaning here, an empty one, and anything without --expected."""
    _, outputs, _ = made("GRU")
    np.savez("y.npz", **outputs)
    assert all_in(("--require 'c_n'", "output, h_n, r"), refused(capsys, *asked("--require", "c_n")))
    assert all_in(("'output,,h_n'",), refused(capsys, *asked("--require", "output,,h_n")))
    assert all_in(("--require", "--expected"), refused(capsys, "compare", "module.npz", "--require", "output"))
    assert all_in(("--expected", "is empty"), refused(capsys, "compare", "module.npz", "--input", "x.npy", "--expected", ""))


def test_a_run_is_judged_by_all_that_torch_gave(capsys: pytest.CaptureFixture[str]) -> None:
    """JSON names it as it names what was handed in: nothing is missing, and every gate is there unless none was captured."""
    run = ("run", "gru", "--layers", "2", "--seed", "1", "-f", "json")
    found = json.loads(ask(capsys, *run).out)
    gates = [f"{layer}.forward.{symbol}" for layer in (0, 1) for symbol in "rznh"]
    assert (found["judged"], found["missing"], found["unused"]) == (["output", "h_n", *gates], [], [])
    found = json.loads(ask(capsys, *run, "--capture", "off").out)
    assert found["judged"] == ["output", "h_n", "0.forward.h", "1.forward.h"]


# --- the same for inputs ----------------------------------------------------------------------------------------------


def test_names_of_inputs(capsys: pytest.CaptureFixture[str]) -> None:
    """Capitals do not count, near misses and two spellings are refused, what is not read is named."""
    _, outputs, _ = made()
    x, h0 = np.load("x.npy"), np.zeros((1, B, H))

    def answer(**arrays: Array) -> tuple[str, ...]:
        np.savez("x.npz", **arrays)
        np.savez("y.npz", **outputs)
        return "compare", "module.npz", "--input", "x.npz", "--expected", "y.npz", "-f", "json"

    assert ask(capsys, *answer(X=x, H0=h0)).code == 0
    assert not json.loads(ask(capsys, *answer(X=x, H0=h0 + 1)).out)["passed"]
    assert all_in(("h_0 is not a name", "did you mean h0?"), refused(capsys, *answer(x=x, h_0=h0)))
    assert all_in(("inputs is not a name", "did you mean x?"), refused(capsys, *answer(inputs=x, h0=h0)))
    assert all_in(("x and X both mean x",), refused(capsys, *answer(x=x, X=x)))
    found = json.loads(ask(capsys, *answer(x=x, target=h0)).out)
    assert (found["passed"], found["unused"]) == (True, ["target"])
    assert "x.npz: not read" in found["warnings"][0]
    np.savez("x.npz", x=x.astype(complex), other=x)
    assert all_in(("x should hold numbers",), refused(capsys, "compare", "module.npz", "--input", "x.npz"))
