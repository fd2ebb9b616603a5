"""What newcomers type: it works where its meaning is plain, and else the answer is one line that says what to type."""

import json

import pytest
import torch
from commandline import all_in, ask, refused
from hypothesis import given
from strategies import specs
from typer.main import get_command

from rnntrace.cli.app import app
from rnntrace.cli.misuse import OTHER_WORDS
from rnntrace.errors import SpecError
from rnntrace.model.kinds import parse_constructor
from rnntrace.model.spec import ModuleSpec

pytestmark = pytest.mark.usefixtures("folder")

MISUSES: list[tuple[list[str], tuple[str, ...]]] = [
    # A kind, a file or a word in place of a command.
    (["lstm"], ("lstm is a kind", "did you mean rnntrace run lstm?")),
    (["LSTM", "3", "2"], ("did you mean rnntrace run LSTM?",)),
    (["LSTM(3, 2)"], ("did you mean rnntrace run 'LSTM(3, 2)'?",)),
    (["weights.pt"], ("a file of weights", "rnntrace inspect", "rnntrace compare")),
    (["models/best"], ("a file of weights",)),
    (["compar", "x.pt"], ("there is no command compar", "did you mean rnntrace compare?")),
    (["RUN", "lstm"], ("did you mean rnntrace run?",)),
    (["torch"], ("there is no command torch", "choose one of run, compare")),
    (["help"], ("did you mean rnntrace --help?",)),
    (["version"], ("did you mean rnntrace --version?",)),
    (["-f", "json", "run", "lstm"], ("in front of a command", "rnntrace run lstm -f")),
    # No kind, another word for one, too many.
    (["run"], ("expected a kind (rnn, lstm, gru, ", "--cell")),
    (["explain"], ("expected a kind (rnn, lstm, gru, ",)),
    (["run", "bilstm"], ("lstm with --bidirectional",)),
    (["run", "BiGRU"], ("gru with --bidirectional",)),
    (["run", "SimpleRNN"], ("RNN is rnn",)),
    (["run", "transformer"], ("unknown module kind 'transformer'", "choose one of rnn, lstm")),
    (["run", "lstm.pt"], ("lstm.pt is a file", "compare", "--weights")),
    (["run", "lstm", "gru"], ("one kind at a time: leave out gru",)),
    (["mistakes", "lstn"], ("unknown module kind 'lstn'",)),
    # Sizes behind the kind.
    (["run", "lstm", "3"], ("two sizes", "LSTM 3 2")),
    (["run", "lstm", "3", "2", "1"], ("two sizes",)),
    (["run", "lstm", "--lengths", "3", "2"], ("two sizes",)),
    (["run", "lstm", "3", "two"], ("two is no whole number",)),
    (["run", "lstm", "3", "2", "-H", "4"], ("--hidden 4 contradicts lstm(3, 2)",)),
    (["run", "LSTM(3, 2, bias=False)", "--layers", "2", "-i", "4"], ("--input-size 4 contradicts",)),
    (["run", "LSTM(a, b)"], ("the input size must be a whole number, not 'a'",)),
    (["run", "LSTM(n + 1, 2)"], ("LSTM(n + 1, 2) cannot be read", "LSTM(3, 2)")),
    (["run", "LSTM(3, 2"], ("unknown module kind",)),
    (["run", "LSTM(3, 2, foo=3)"], ("has foo, which no flag",)),
    (["run", "LSTM(3, 2, hidden_size=2)"], ("says hidden_size twice",)),
    (["run", "LSTM(3.5, 2)"], ("the input size must be a whole number, not 3.5",)),
    (["run", "LSTM(*[3, 2])"], ("cannot be read",)),
    (["run", "LSTM(3)"], ("LSTM(3) lacks hidden_size",)),
    (["run", "LSTM(" + "[" * 300 + "]" * 300 + ")"], ("cannot be read",)),
    # Flags by other names.
    (["run", "lstm", "--hidden_size", "3"], ("there is no flag --hidden_size", "--hidden")),
    (["run", "lstm", "--num_layers", "2"], ("the number of layers is --layers",)),
    (["run", "lstm", "--num-layers", "2"], ("the number of layers is --layers",)),
    (["run", "lstm", "--seq-len", "4"], ("the number of steps is --steps",)),
    (["run", "lstm", "--batch_first"], ("did you mean --batch-first?",)),
    (["run", "lstm", "--input_size", "3"], ("did you mean --input-size?",)),
    (["run", "lstm", "--SEED", "3"], ("did you mean --seed?",)),
    (["run", "lstm", "--cuda"], ("--device cuda",)),
    (["run", "lstm", "-v"], ("--show all",)),
    (["run", "lstm", "--verbose"], ("--show all",)),
    (["run", "lstm", "--epochs", "3"], ("nothing is trained",)),
    (["run", "lstm", "--eps", "1e-3"], ("--rtol and --atol",)),
    (["run", "lstm", "--json"], ("--format NAME",)),
    (["run", "lstm", "--zzz"], ("there is no flag --zzz", "See rnntrace run --help")),
    # Values.
    (["run", "lstm", "--hidden", "two"], ("--hidden takes a whole number, not 'two'",)),
    (["run", "lstm", "--seed", "1.5"], ("--seed takes a whole number, not '1.5'",)),
    (["run", "lstm", "--rtol", "small"], ("--rtol takes a number, not 'small'",)),
    (["run", "lstm", "--hidden"], ("--hidden needs a value: size of the hidden state. See rnntrace run --help",)),
    (["run", "lstm", "-o"], ("-o needs a value", "See rnntrace run --help")),
    (["compare", "x.pt", "--expected"], ("--expected needs a value", "See rnntrace compare --help")),
    (["run", "lstm", "--bidirectional", "true"], ("--bidirectional takes no value: leave out true",)),
    (["run", "lstm", "--bidirectional=yes"], ("--bidirectional takes no value",)),
    (["run", "lstm", "--dtype", "double"], ("--dtype is one of float64", "not 'double'")),
    (["run", "lstm", "--format", "pdf"], ("--format is one of table", "not 'pdf'")),
    (["run", "lstm", "--tolerance", "1e-3"], ("--rtol 1e-3", "--atol 1e-3")),
    (["run", "lstm", "--input", "1 2 3"], ("there is no such file", "typed as JSON, such as [[1, 2, 3]]")),
    (["run", "lstm", "--h0", "1"], ("typed as JSON",)),
    (["run", "lstm", "--hidden", "0"], ("the hidden size must be at least 1",)),
    (["explain", "lstm", "--top", "-1"], ("--top must be greater than or equal to 0, not '-1'",)),
    # Arguments.
    (["show"], ("expected TRACE", "See rnntrace show --help")),
    (["inspect"], ("expected FILE", "See rnntrace inspect --help")),
    (["compare"], ("expected a file of weights",)),
    (["compare", "a.pt", "b.pt", "c.pt"], ("takes no more arguments: leave out c.pt",)),
]


@pytest.mark.parametrize(("line", "fragments"), MISUSES, ids=[" ".join(line)[:60] for line, _ in MISUSES])
def test_a_misuse_is_answered_in_one_line(
    line: list[str], fragments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    """The line says what to type, and does not speak of parsing or of Python's types."""
    said = refused(capsys, *line)
    assert all_in(fragments, said)
    assert not [word for word in ("parse", "string", "integer", "(s)", "..", "?.") if word in said], said


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (["LSTM", "3", "2"], {"kind": "LSTM", "input_size": 3, "hidden_size": 2}),
        (["lstm-cell", "3", "2"], {"kind": "LSTMCell", "input_size": 3}),
        (["nn.GRU"], {"kind": "GRU", "input_size": 3, "hidden_size": 2}),
        (["torch.nn.GRU(5, 4, 2, False)"], {"kind": "GRU", "input_size": 5, "num_layers": 2, "bias": False}),
        (["RNN(3, 2, 1, 'relu')"], {"kind": "RNN", "nonlinearity": "relu"}),
        (["LSTM(3, 2, num_layers=2, bidirectional=True)"], {"num_layers": 2, "bidirectional": True}),
        (["LSTM(3, 2)", "--layers", "2", "-H", "2"], {"num_layers": 2, "hidden_size": 2}),
    ],
    ids=str,
)
def test_a_module_is_written_as_torch_writes_it(
    line: list[str], says: dict[str, object], capsys: pytest.CaptureFixture[str]
) -> None:
    """With the sizes behind the kind, or in one word."""
    answer = ask(capsys, "run", *line, "--seed", "1", "-f", "json")
    spec = json.loads(answer.out)["spec"]
    assert (answer.code, spec | says) == (0, spec)


@pytest.mark.parametrize("command", ["explain", "backward"])
def test_other_commands_take_sizes_too(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """As flags say them."""
    seed = ["--seed", "1"] if command == "backward" else []
    flags = ask(capsys, command, "gru", "-i", "5", "-H", "4", *seed)
    assert (flags.code, flags.err) == (0, "")
    assert ask(capsys, command, "GRU", "5", "4", *seed) == flags
    assert ask(capsys, command, "GRU(5, 4)", *seed) == flags


@given(specs())
def test_what_a_specification_writes_is_read(spec: ModuleSpec) -> None:
    """Whatever it has that a constructor has."""
    said = parse_constructor(str(spec))
    assert said is not None
    assert ModuleSpec(**said, dtype=spec.dtype) == spec if "dtype" not in said else ModuleSpec(**said) == spec


@pytest.mark.parametrize(
    "module",
    [
        torch.nn.LSTM(3, 2, 2, bias=False, batch_first=True, bidirectional=True, proj_size=1),
        torch.nn.RNN(3, 2, dropout=0.5, num_layers=2),
        torch.nn.RNNCell(3, 2, bias=False, nonlinearity="relu"),
        torch.nn.GRUCell(3, 2),
    ],
    ids=str,
)
def test_what_torch_writes_is_read(module: torch.nn.Module) -> None:
    """Its repr gives the module again."""
    said = parse_constructor(str(module))
    assert said is not None
    spec = ModuleSpec(**said)
    assert spec.kind == type(module).__name__
    for name in (
        "input_size",
        "hidden_size",
        "bias",
        "nonlinearity",
        "num_layers",
        "bidirectional",
        "proj_size",
        "batch_first",
    ):
        if hasattr(module, name):
            assert getattr(spec, name) == getattr(module, name), name


def test_arguments_without_a_name_stand_as_torch_has_them() -> None:
    """Of RNN and RNNCell the nonlinearity has another place."""
    torch_says = torch.nn.RNN(3, 2, 1, "relu", False)
    assert parse_constructor("RNN(3, 2, 1, 'relu', False)") == {
        "kind": "RNN", "input_size": 3, "hidden_size": 2, "num_layers": 1, "nonlinearity": "relu", "bias": False
    }  # fmt: skip
    assert (torch_says.nonlinearity, torch_says.bias) == ("relu", False)
    cell = torch.nn.RNNCell(3, 2, False, "relu")
    assert parse_constructor("RNNCell(3, 2, False, 'relu')") == {
        "kind": "RNNCell", "input_size": 3, "hidden_size": 2, "bias": cell.bias, "nonlinearity": cell.nonlinearity
    }  # fmt: skip
    with pytest.raises(SpecError, match="4 arguments without a name, and GRUCell takes 3"):
        parse_constructor("GRUCell(3, 2, True, 1)")


def test_flags_that_are_spoken_of_are_there() -> None:
    """And none of the other words is a flag of a command by now."""
    flags = {name for command in get_command(app).commands.values() for param in command.params for name in param.opts}  # type: ignore[attr-defined]
    flags.add("--help")
    for words, says in OTHER_WORDS.items():
        named = [word.strip(",:.") for word in says.split() if word.startswith("--")]
        assert set(named) <= flags, says
        taken = {f"--{word}" for word in words.split()} & {
            name
            for command in ("run", "compare")
            for param in get_command(app).commands[command].params  # type: ignore[attr-defined]
            for name in param.opts
        }
        assert taken == set(), taken
