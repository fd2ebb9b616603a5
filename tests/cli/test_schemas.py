"""Every command's JSON is what its published schema says, and a schema notices what is missing, misspelled or new."""

import copy
import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from commandline import ask
from formats import drawn, lstm, npz_bytes, pt_bytes
from jsonschema import Draft202012Validator
from onnx import helper, numpy_helper
from referencing import Registry, Resource
from torch import nn

import rnntrace
from rnntrace.cli.app import exit_code
from rnntrace.model.conventions import CONVENTIONS

FOLDER = Path(__file__).parents[2] / "docs" / "schemas"
SCHEMAS = {path.name.removesuffix(".schema.json"): json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))}
REGISTRY: Registry[Any] = Registry().with_resources(
    (schema["$id"], Resource.from_contents(schema)) for schema in SCHEMAS.values()
)
VALIDATORS = {name: Draft202012Validator(schema, registry=REGISTRY) for name, schema in SCHEMAS.items()}

RUNS = {
    **{kind: f"run {kind}" for kind in ("rnn", "lstm", "gru", "rnn-cell", "lstm-cell", "gru-cell")},
    "relu": "run rnn --nonlinearity relu",
    "stacked": "run lstm --layers 2 --bidirectional --dropout 0.5",
    "projected": "run lstm -H 3 --proj-size 2 --bidirectional --show all",
    "no bias": "run gru --no-bias --show weights",
    "terms": "run gru-cell --show terms",
    "packed": "run lstm -B 3 --lengths 4,1,2 --bidirectional --show all",
    "batch first": "run gru -B 2 --batch-first",
    "unbatched": "run lstm --unbatched --h0 random --c0 random",
    "unbatched cell": "run rnn-cell --unbatched",
    "half": "run gru --dtype bfloat16",
    "double": "run rnn --dtype float64",
    "replayed in double": "run rnn --replay-dtype float64",
    "forced": "run lstm --replay forced",
    "uncaptured": "run lstm --capture off",
    "by rounding": "run lstm --tolerance rounding",
    "bit by bit": "run lstm -H 16 -T 20 --tolerance exact",
    "other bounds": "run lstm --rtol 0 --atol 1e-3",
    "text": "run rnn --text hello,hi --batch-first",
    "quiet": "run rnn --quiet --layer 0 --time 2",
    "no numbers": 'run lstm --input \'[[1, "nan", 2], ["inf", "-inf", 0]]\'',
    "wrong numbers on both sides": "run rnn --dtype float16 --nonlinearity relu --input '[[6e4, 6e4, 6e4]]' -H 8",
    "drifting": "run rnn --weights wild.npz -H 32 -T 200",
    "drawn": "run lstm --weights lstm.pt",
    "merged": "run gru -b -l 2 --merge sum",
    "peepholes": "run lstm --peepholes --show weights",
    "layer norm": "run rnn --layer-norm --show all",
    "a cell of one's own": "run --cell slow.cell --show all --state m0=random",
    "sequences without steps": "run gru --reset-before --lengths 4,0 -B 2",
}
COMPARISONS = {
    "with torch": "compare lstm.pt",
    "several modules": "compare model.pt",
    "several modules, one undecided": "compare broken.pt",
    "one of several": "compare model.pt --module decoder --nonlinearity relu --batch-first",
    "right outputs": "compare lstm.pt --input x.npz --expected y.npz",
    "right output alone": "compare lstm.pt --input x.npz --expected output.npy",
    "wrong outputs": "compare lstm.pt --input x.npz --expected wrong.npz --show all",
    "same weights": "compare lstm.pt lstm.pt",
    "other weights": "compare lstm.pt other.npz",
    "several modules twice": "compare model.pt model.pt -B 2 --lengths 4,2",
    "same trace": "compare trace.npz trace.safetensors",
    "other trace": "compare trace.npz other-trace.npz",
}
OTHERS = {
    "a mistake on purpose": "run lstm --mistake gate-order.iofc+lengths.ignored --blind -B 2 --lengths 4,2 --seed 1",
    "blind": "compare lstm.pt --input x.npz --expected y.npz --blind",
    "explained": "diagnose mistaken.npz",
    "explained by several": "diagnose unclear.npz",
    "not explained": "diagnose lstm.pt --input x.npz --expected wrong.npz --time-limit 0.5",
    "nothing to explain": "diagnose lstm.pt --input x.npz --expected y.npz",
    "every mistake": "mistakes",
    "mistakes of a family": "mistakes lstm --family gate-order",
    "gradients": "backward lstm -b -H 3 --proj-size 2 --lengths 4,2 -B 2 --seed 1",
    "gradients with their parts": "backward gru -b -l 2 --lengths 4,2 -B 2 --seed 1 --show all",
    "gradients by differences": "backward gru --reset-before --clip-norm 0.1 --seed 1",
    "gradients of saved weights": "backward lstm.pt --input x.npz --expected gradients.npz",
    "gradients without a judge": "backward gru --truncate 2 --bidirectional --loss last --seed 1",
    "gradients that nothing explains": "diagnose lstm.pt --backward --input x.npz --expected gradients.npz",
    "mistakes in gradients": "mistakes gru --backward",
    "a trace": "show trace.npz",
    "a trace as safetensors": "show trace.safetensors --show weights,outputs",
    "a packed trace with terms": "show packed.npz --show all",
    "a trace of NaN": "show undecided.npz",
    "one module": "inspect lstm.pt",
    "modules": "inspect model.pt",
    "weights": "inspect model.pt --weights",
    "weights that are NaN": "inspect broken.pt --weights",
    "typed weights": 'inspect \'{"weight_ih": [[1]], "weight_hh": [[2]]}\'',
    "every framework": "layouts",
    "a checked exercise": "exercise check blind.toml",
    "grades": "grade week1.toml hand-ins --roster students.csv",
    "every cell": "cells",
    "one cell": "cells gru",
    **{f"layouts {convention.framework}": f"layouts '{convention.framework}'" for convention in CONVENTIONS},
    "this machine": "doctor",
    "equations": "explain lstm --bidirectional --layers 2",
    "equations of another framework": "explain gru --framework keras",
    "numbers put in": "explain lstm --at t=2,unit=1 --back 1 --top 3 --seed 1",
    "numbers of saved weights": "explain lstm.pt --at t=2 --input x.npz",
    "an ONNX model": "inspect gru.onnx",
    "an ONNX model and its outputs": "compare gru.onnx --input x.npz --expected zeros.npy",
    "expected and torch": "compare lstm.pt --input x.npz --expected y.npz --framework torch",
}
FAMILY = {**RUNS, **COMPARISONS, **OTHERS}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all that the commands read."""
    folder = tmp_path_factory.mktemp("schemas")
    module, x = lstm(), torch.from_numpy(drawn(4, 2, 3))
    with torch.no_grad():
        output, (h_n, c_n) = module(x)
    y = {"output": output.numpy(), "h_n": h_n.numpy(), "c_n": c_n.numpy()}
    wrong = y | {"output": y["output"] + np.float32(0.01)}
    torch.manual_seed(1)
    model = nn.ModuleDict({"encoder": nn.LSTM(3, 2, 2), "decoder": nn.RNN(3, 2), "last": nn.Linear(2, 2)})
    (folder / "model.pt").write_bytes(pt_bytes(model.state_dict()))
    with torch.no_grad():
        model["decoder"].weight_hh_l0[0, 0] = float("nan")
    (folder / "broken.pt").write_bytes(pt_bytes(model.state_dict()))
    (folder / "lstm.pt").write_bytes(pt_bytes(module.state_dict()))
    other = {name: value.numpy() * np.float32(1.01) for name, value in module.state_dict().items()}
    wild = {name: value.numpy() * np.float32(30) for name, value in nn.RNN(3, 32).state_dict().items()}
    for name, arrays in {"other": other, "wild": wild, "x": {"x": x.numpy()}, "y": y, "wrong": wrong}.items():
        (folder / f"{name}.npz").write_bytes(npz_bytes(arrays))
    np.save(folder / "output.npy", y["output"])
    np.savez(folder / "gradients.npz", bias_ih_l0=np.ones(8), d_f=np.ones((4, 2, 2)))
    (folder / "slow.cell").write_text(
        "m = 0.9 * m[t-1] + 0.1 * tanh(W_c x + U_c h[t-1])  # slow memory\nh = tanh(m)  # output\n"
    )
    np.save(folder / "zeros.npy", np.zeros_like(y["output"]))
    blocks = [numpy_helper.from_array(drawn(*shape), name) for name, shape in {"W": (1, 6, 3), "R": (1, 6, 2)}.items()]
    node = helper.make_node("GRU", ["X", "W", "R"], ["Y"], hidden_size=2)
    onnx.save(helper.make_model(helper.make_graph([node], "graph", [], [], blocks)), folder / "gru.onnx")
    rnntrace.new_exercise("lstm", output=folder / "week1.toml")
    (folder / "blind.toml").write_text((folder / "week1.toml").read_text().replace('"random"', '"zeros"'))
    (folder / "blind.secret").write_text((folder / "week1.secret").read_text())
    (folder / "students.csv").write_text("id\nada\nbob\ncleo\n")
    (folder / "hand-ins").mkdir()
    (folder / "hand-ins" / "ada.npz").write_bytes(npz_bytes({"output": np.ones((4, 1, 2)), "c_n": np.ones((1, 1, 2))}))
    (folder / "hand-ins" / "bob.npz").write_bytes(b"no")
    traced = rnntrace.trace(module, x)
    for name in ("trace.npz", "trace.safetensors"):
        rnntrace.save(traced, folder / name)
    rnntrace.save(rnntrace.trace(module, x + 1), folder / "other-trace.npz")
    rnntrace.save(rnntrace.trace(module, x, lengths=[4, 2], terms=True), folder / "packed.npz")
    rnntrace.save(rnntrace.trace(module, x * float("nan")), folder / "undecided.npz")
    for name, size, mistake in (("mistaken", "2", "gate-order.iofc"), ("unclear", "4", "interleaved.read")):
        path = str(folder / f"{name}.npz")
        exit_code(["run", "lstm", "-H", size, "--seed", "1", "--mistake", mistake, "--save", path, "--output", f"{path}.txt"])
    return folder


@pytest.fixture
def answer(files: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    """The document that a command of the family prints, parsed strictly."""
    monkeypatch.chdir(files)

    def ask_for(case: str) -> Any:
        arguments = shlex.split(FAMILY[case])
        seed = ["--seed", "1"] if arguments[0] in ("run", "compare") else []
        return strictly(ask(capsys, *arguments, *seed, "--format", "json").out)

    return ask_for


def strictly(text: str) -> Any:
    """One JSON value on one line: no NaN, no key twice, and written again it is the same to the last digit."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        assert len(dict(pairs)) == len(pairs), [key for key, _ in pairs]
        return dict(pairs)

    found = json.loads(text, parse_constant=pytest.fail, object_pairs_hook=unique)
    assert json.dumps(found, ensure_ascii=False) + "\n" == text
    return found


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_schema_is_a_schema(name: str) -> None:
    """By the rules of JSON Schema 2020-12, and every reference in it leads somewhere."""
    Draft202012Validator.check_schema(SCHEMAS[name])
    resolver = REGISTRY.resolver(SCHEMAS[name]["$id"])
    for reference in references(SCHEMAS[name]):
        resolver.lookup(reference)


def references(schema: Any) -> list[str]:
    """Every $ref in a schema."""
    if isinstance(schema, list):
        return [reference for entry in schema for reference in references(entry)]
    if not isinstance(schema, dict):
        return []
    own = [value for key, value in schema.items() if key == "$ref"]
    return own + [reference for value in schema.values() for reference in references(value)]


@pytest.mark.slow
@pytest.mark.parametrize("case", FAMILY)
def test_what_a_command_prints_fits_its_schema(case: str, answer: Callable[[str], Any]) -> None:
    """Whatever the module, the input, the other side and the verdict."""
    VALIDATORS[FAMILY[case].split()[0]].validate(answer(case))


@pytest.mark.slow
def test_the_family_is_wide(answer: Callable[[str], Any]) -> None:
    """It has every verdict, every kind of module, and the words for what is no number."""
    found = [answer(case) for case in (*RUNS, *COMPARISONS)]
    assert {entry["verdict"] for entry in found if "verdict" in entry} == {
        "IDENTICAL",
        "PASS",
        "PASS (drift)",
        "FAIL",
        "UNDECIDED",
    }
    assert {entry["spec"]["kind"] for entry in found if "spec" in entry} == {*rnntrace.model.kinds.KINDS, "slow"}
    assert all(f'"{word}"' in json.dumps(found) for word in ("nan", "inf", "-inf"))
    assert any(entry.get("not_finite") for entry in found)


def test_a_saved_trace_is_shown_as_it_was(
    answer: Callable[[str], Any], files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The document of a run, saved and shown again, is the same document, but for the command."""
    command = "run gru -B 2 --lengths 4,2 --seed 1 --save again.npz --format json"
    first, again = (strictly(ask(capsys, *line.split()).out) for line in (command, "show again.npz --format json"))
    assert again == first | {"command": "show"}


# --- planted damage ---------------------------------------------------------------------------------------------------

BASES = {
    "run": "projected",
    "compare": "wrong outputs",
    "compare several": "several modules",
    "backward": "gradients",
    "show": "a trace",
    "inspect": "weights",
    "layouts": "layouts Chainer",
    "grade": "grades",
    "exercise": "a checked exercise",
    "doctor": "this machine",
}
Keys = tuple[Any, ...]
NEW = "surprise"


def places(document: Any, path: Keys = ()) -> list[Keys]:
    """The path of every value in a document; of a list the first entry stands for all."""
    inside = document.items() if isinstance(document, dict) else enumerate(document[:1]) if isinstance(document, list) else ()
    return [path, *(place for key, value in inside for place in places(value, (*path, key)))]


def at(document: Any, path: Keys) -> Any:
    """The value of a path."""
    for key in path:
        document = document[key]
    return document


def replaced(document: Any, path: Keys, value: Any) -> Any:
    """The document with another value there."""
    changed = copy.deepcopy(document)
    at(changed, path[:-1])[path[-1]] = value
    return changed


def dropped(document: Any, path: Keys) -> Any:
    """The document without a key."""
    changed = copy.deepcopy(document)
    del at(changed, path[:-1])[path[-1]]
    return changed


def unnoticed(base: str, document: Any, damaged: dict[Keys, Any]) -> set[str]:
    """The last keys of the paths at which damage passes for sound."""
    validator = VALIDATORS[base.split()[0]]
    validator.validate(document)
    return {str(path[-1]) for path, changed in damaged.items() if validator.is_valid(changed)}


MAY_BE_ABSENT = {
    "run": {"weights", "b_ih", "b_hh", "W_hr"},
    "compare": {"weights", "b_ih", "b_hh"},
    "inspect": {"statistics"},
    # What there are gradients of, by name.
    "backward": {
        *("output", "x", "h0", "c0"),
        *(
            f"{part}_l0{end}"
            for part in ("weight_ih", "weight_hh", "weight_hr", "bias_ih", "bias_hh")
            for end in ("", "_reverse")
        ),
    },
    "doctor": {
        *("threads of torch", "vector instructions", "path of nn.LSTM in float32"),
        *("limit of time for foreign files", "limit of memory for foreign files"),
    },
}
OPEN = {"doctor": {"versions", "facts"}}
"""Objects whose keys are not fixed."""
WORDS = ("verdict", "command", "kind", "direction", "symbol", "dtype", "mode", "reset", "keeps", "nonlinearity", "lstm")
"""Keys whose values are words of a fixed choice."""


@pytest.mark.slow
@pytest.mark.parametrize("base", BASES)
def test_a_key_that_is_dropped_is_noticed(base: str, answer: Callable[[str], Any]) -> None:
    """Everywhere, but for what may be absent."""
    document = answer(BASES[base])
    damaged = {path: dropped(document, path) for path in places(document) if path and isinstance(path[-1], str)}
    assert unnoticed(base, document, damaged) == MAY_BE_ABSENT.get(base, set())


@pytest.mark.parametrize("base", BASES)
def test_a_key_that_is_new_is_noticed(base: str, answer: Callable[[str], Any]) -> None:
    """A change of the document is a change of its schema."""
    document = answer(BASES[base])
    objects = [path for path in places(document) if isinstance(at(document, path), dict)]
    damaged = {(*path[-1:], NEW): replaced(document, (*path, NEW), "found") for path in objects}
    kept = {path for path, changed in damaged.items() if VALIDATORS[base.split()[0]].is_valid(changed)}
    assert {path[0] for path in kept} == OPEN.get(base, set())


@pytest.mark.slow
@pytest.mark.parametrize("base", BASES)
def test_a_number_as_text_is_noticed(base: str, answer: Callable[[str], Any]) -> None:
    """Any number, however deep in an array."""
    document = answer(BASES[base])
    numbers = [path for path in places(document) if type(at(document, path)) in (int, float)]
    damaged = {path: replaced(document, path, str(at(document, path))) for path in numbers}
    assert damaged
    assert unnoticed(base, document, damaged) == set()


@pytest.mark.slow
@pytest.mark.parametrize("base", BASES)
def test_a_word_misspelled_is_noticed(base: str, answer: Callable[[str], Any]) -> None:
    """A verdict, a kind, a symbol: one letter more is another word."""
    document = answer(BASES[base])
    words = [path for path in places(document) if path[-1:] and path[-1] in WORDS and isinstance(at(document, path), str)]
    damaged = {path: replaced(document, path, at(document, path) + "s") for path in words}
    assert damaged
    assert unnoticed(base, document, damaged) == set()


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("passed",), True),
        (("verdict",), "PASS"),
        (("first_failure",), None),
        (("inputs", "c0"), None),
        (("spec", "nonlinearity"), "tanh"),
        (("trace", 0, "values", 0, 0, 0), None),
        (("inputs", "x", 0, 0, 0), "NaN"),
        (("differences", 0, "bad"), -1),
        (("worst", "t"), 0),
        (("schema",), 2),
    ],
    ids=str,
)
def test_what_contradicts_itself_is_noticed(path: Keys, value: Any, answer: Callable[[str], Any]) -> None:
    """Each change alone makes a document that no run can have."""
    document = answer("wrong outputs")
    assert unnoticed("compare", document, {path: replaced(document, path, value)}) == set()
