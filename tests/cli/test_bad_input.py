"""What the command line refuses, and how: one line on stderr, exit code 2, nothing on stdout, nothing written."""

from pathlib import Path

import pytest
import torch
from commandline import EVIL, all_in, ask, refused

pytestmark = pytest.mark.usefixtures("folder")

REFUSED: list[tuple[str, tuple[str, ...]]] = [
    # commands and flags
    ("run", ("expected a kind (rnn, lstm, ", "--cell")),
    ("show", ("TRACE",)),
    ("inspect", ("FILE",)),
    ("nonsense", ("nonsense",)),
    ("run transformer", ("'transformer'", "rnn, lstm, gru, rnn-cell, lstm-cell, gru-cell")),
    ("run lstm gru", ("leave out gru",)),
    ("run lstm --nonsense", ("--nonsense",)),
    ("run lstm --hiden 3", ("--hiden", "--hidden")),
    ("run lstm -X", ("-X",)),
    ("run lstm --hidden", ("hidden",)),
    ("run lstm --bidirectional=yes", ("--bidirectional",)),
    # words
    ("run lstm --dtype float8", ("--dtype", "'float8'", "float32")),
    ("run lstm --dtype int64", ("--dtype", "'int64'", "float64")),
    ("run lstm --show everything", ("--show", "'everything'", "input, gates, states, terms, weights, outputs, all")),
    ("run lstm --show gates,,states", ("--show", "''", "gates")),
    ("run lstm --show=", ("--show", "''", "gates")),
    ("run lstm --format xml", ("--format", "'xml'", "json")),
    ("run rnn --nonlinearity gelu", ("unknown activation", "'gelu'", "tanh", "relu")),
    ("run lstm --capture maybe", ("--capture", "'maybe'", "auto")),
    ("run lstm --tolerance loose", ("tolerance", "'loose'", "torch, rounding, exact")),
    ("run lstm --replay backwards", ("--replay", "'backwards'", "forced")),
    ("run lstm --replay-dtype float16", ("--replay-dtype", "'float16'", "float64")),
    ("run lstm --dist gauss", ("--dist", "'gauss'", "normal")),
    ("run lstm --color sometimes", ("--color", "'sometimes'", "never")),
    # states
    ("run lstm --state m0=random", ("LSTM has no state m", "h and c", "leave m0 out")),
    ("run gru --state m0=zeros", ("GRU has no state m", "its state is h")),
    ("run lstm --state m0", ("--state", "m0=random", "not 'm0'")),
    ("run lstm --state m=random", ("--state", "end in 0", "'m'")),
    ("run lstm --state h0=zeros --state h0=random", ("--state", "h0", "twice")),
    ("run lstm --h0 zeros --state h0=random", ("--h0", "--state", "both give h0")),
    ("run lstm --state h0=", ("--h0", "is empty")),
    ("run lstm --state h0=gone.npy", ("gone.npy",)),
    ("explain lstm --state h0=random", ("--state", "--at")),
    # numbers
    ("run lstm --hidden two", ("--hidden", "whole number", "not 'two'")),
    ("run lstm --hidden a", ("--hidden", "whole number", "not 'a'")),
    ("run lstm --hidden 2.5", ("--hidden", "whole number", "not '2.5'")),
    ("run lstm --steps=", ("--steps", "whole number", "not ''")),
    ("run lstm --dropout much", ("--dropout", "number", "not 'much'")),
    ("run lstm --seed 0x10", ("--seed", "whole number", "not '0x10'")),
    ("run lstm --seed -1", ("seed", "from 0", "-1")),
    ("run lstm --seed 9223372036854775808", ("seed", "2**63 - 1", "9223372036854775808")),
    ("run lstm --rtol -1e-3", ("--rtol", "0 or more", "-0.001")),
    ("run lstm --atol -1", ("--atol", "0 or more", "-1")),
    ("run lstm --rtol nan", ("--rtol", "0 or more", "nan")),
    ("run lstm --tolerance exact --rtol 1", ("exact", "--rtol", "leave")),
    ("run lstm --digits 18", ("--digits", "17", "not '18'")),
    ("run lstm --digits -1", ("--digits", "0", "not '-1'")),
    ("run lstm --max-rows -1", ("--max-rows", "0", "not '-1'")),
    # sizes
    ("run lstm --hidden 0", ("hidden size", "at least 1", "not 0")),
    ("run lstm --hidden -3", ("hidden size", "at least 1", "not -3")),
    ("run gru --input-size 0", ("input size", "at least 1", "not 0")),
    ("run gru --input-size -1", ("input size", "at least 1", "not -1")),
    ("run rnn --layers 0", ("layers", "at least 1", "not 0")),
    ("run rnn --layers -1", ("layers", "at least 1", "not -1")),
    ("run lstm --steps 0", ("steps", "at least 1", "not 0")),
    ("run lstm --steps -4", ("steps", "at least 1", "not -4")),
    ("run lstm --batch 0", ("batch", "at least 1", "not 0")),
    ("run lstm --batch -1", ("batch", "at least 1", "not -1")),
    ("run lstm --dropout 1.5", ("dropout", "between 0 and 1", "not 1.5")),
    ("run lstm --dropout nan", ("dropout", "between 0 and 1", "not nan")),
    ("run lstm --hidden 100000", ("40,002,000,000 parameters", "limit of 268,435,456", "smaller")),
    ("run lstm --hidden 99999999999999999999", ("parameters", "limit of 268,435,456")),
    ("run lstm --input-size 99999999999999999999", ("parameters", "limit of 268,435,456")),
    ("run rnn --layers 1001", ("1001 layers", "limit of 1,000", "RNNTRACE_MAX_LAYERS")),
    ("run rnn --layers 99999999999999999999", ("99999999999999999999 layers", "limit of 1,000", "RNNTRACE_MAX_LAYERS")),
    ("run lstm --steps 1000000000", ("an x of 3,000,000,000 values", "limit of 268,435,456", "fewer steps")),
    ("run rnn -i 1 -H 600 --steps 1000000", ("a trace of 600,000,000 values", "limit of 268,435,456", "fewer steps", "--save")),
    ("run lstm --steps 99999999999999999999", ("values", "limit of 268,435,456")),
    ("run lstm --batch 99999999999999999999", ("values", "limit of 268,435,456")),
    ("run rnn -H 1 -i 1048576 -T 134217728", ("an x of 140,737,488,355,328 values", "limit of 268,435,456")),
    # options that a kind does not have
    ("run gru --proj-size 1", ("--proj-size", "LSTM alone", "GRU", "leave it out")),
    ("run rnn --proj-size 1", ("--proj-size", "LSTM alone", "RNN", "leave it out")),
    ("run lstm-cell --proj-size 1", ("--proj-size", "LSTM alone", "LSTMCell", "leave it out")),
    ("run lstm --proj-size 2", ("projection size", "below the hidden size 2", "not 2")),
    ("run lstm --hidden 4 --proj-size 9", ("projection size", "below the hidden size 4", "not 9")),
    ("run lstm --proj-size -1", ("projection size", "at least 0", "not -1")),
    ("run lstm --nonlinearity relu", ("--nonlinearity", "RNN", "LSTM", "leave it out")),
    ("run gru-cell --nonlinearity tanh", ("--nonlinearity", "RNN", "GRUCell", "leave it out")),
    ("run lstm-cell --layers 2", ("--layers", "LSTMCell", "use LSTM instead")),
    ("run gru-cell --bidirectional", ("--bidirectional", "GRUCell", "use GRU instead")),
    ("run rnn-cell --batch-first", ("--batch-first", "RNNCell", "use RNN instead")),
    ("run rnn-cell --dropout 0.5", ("--dropout", "RNNCell", "use RNN instead")),
    # lengths
    ("run lstm --lengths 5", ("between 1", "number of steps 4", "not 5")),
    ("run lstm --batch 2 --lengths 4,0", ("at least 1", "not 0")),
    ("run lstm --lengths -1", ("between 1", "not -1")),
    ("run lstm --lengths 3,2", ("should be 1", "there are 2")),
    ("run lstm --batch 3 --lengths 3,2", ("should be 3", "there are 2")),
    ("run lstm --lengths two", ("--lengths", "5,3,2", "'two'")),
    ("run lstm --lengths 2.5", ("--lengths", "5,3,2", "'2.5'")),
    ("run lstm --lengths 1,,2", ("--lengths", "5,3,2", "'1,,2'")),
    ("run lstm --lengths=", ("--lengths", "5,3,2", "''")),
    ("run lstm-cell --lengths 4", ("--lengths", "LSTMCell", "leave it out")),
    ("run lstm --unbatched --lengths 4", ("--lengths", "unbatched", "leave it out")),
    ("run lstm --input [[1,2,3]] --lengths 1", ("--lengths", "unbatched", "leave it out")),
    ('run lstm --input {"x":[[[1,2,3]]],"lengths":[2]}', ("between 1", "number of steps 1", "not 2")),
    ('run lstm --input {"x":[[[1,2,3]]],"lengths":[0.5]}', ("lengths", "whole numbers", "not [0.5]")),
    ('run lstm --input {"x":[[[1,2,3]]],"lengths":[1e999]}', ("lengths", "whole numbers", "not [inf]")),
    # initial states
    ("run lstm --h0 [1,2,3]", ("h0", "(1, 1, 2)", "(3,)")),
    ("run lstm --h0 [[[1,2,3]]]", ("h0", "(1, 1, 2)", "(1, 1, 3)")),
    ("run lstm --c0 [[1,2,3]]", ("c0", "(1, 1, 2)", "(1, 3)")),
    ("run lstm --layers 2 --h0 [[[1,2]]]", ("h0", "(2, 1, 2)", "(1, 1, 2)")),
    ("run lstm --bidirectional --c0 [[[1,2]]]", ("c0", "(2, 1, 2)", "(1, 1, 2)")),
    ("run lstm --batch 2 --h0 [[[1,2]]]", ("h0", "(1, 2, 2)", "(1, 1, 2)")),
    ("run lstm --hidden 4 --proj-size 2 --h0 [[[1,2,3,4]]]", ("h0", "(1, 1, 2)", "(1, 1, 4)")),
    ("run lstm --unbatched --h0 [[[1,2,3]]]", ("h0", "(1, 2)", "(1, 1, 3)")),
    ("run gru-cell --h0 [[[1,2],[3,4]]]", ("h0", "(1, 2)", "(1, 2, 2)")),
    ("run gru --c0 random", ("c0", "LSTM", "GRU", "leave --c0 out")),
    ("run rnn --c0 [[[1,2]]]", ("c0", "LSTM", "RNN", "leave --c0 out")),
    ("run gru-cell --c0 [[1,2]]", ("c0", "LSTM", "GRUCell", "leave --c0 out")),
    ("run lstm --h0 ones", ("ones", "no such file")),
    ('run lstm --h0 {"a":[1],"b":[2]}', ("h0", "a, b")),
    # x
    ("run lstm --input [[[1,2]]]", ("input size 3", "(1, 1, 2)", "--input-size 2")),
    ("run lstm --input [[1,2,3,4]]", ("input size 3", "(1, 4)", "--input-size 4")),
    ("run lstm --input [1,2,3]", ("(time, batch, input)", "(time, input)", "(3,)")),
    ("run lstm --batch-first --input [1,2,3]", ("(batch, time, input)", "(3,)")),
    ("run lstm --input [[[[1,2,3]]]]", ("(time, batch, input)", "(1, 1, 1, 3)")),
    ("run lstm --input []", ("x", "(0,)")),
    ("run lstm --input {}", ("one array", "named x", "holds none")),
    ("run lstm --input=", ("--input needs the name of a file, or JSON", "empty")),
    ("run lstm --input missing.npy", ("missing.npy", "no such file")),
    ("run lstm --input [[1,2,3],[4,5]]", ("lists of equal length",)),
    ("run lstm --input [[1,2,true],[1,2,null]]", ("numbers",)),
    ('run lstm --input [["1",2,3]]', ("numbers",)),
    ("run lstm --input [[1,2,3]", ("JSON",)),
    ("run lstm --input [[1,2,3,]]", ("JSON",)),
    ('run lstm --input {"x":[[1,2,3],[4]]}', ("x", "lists of equal length")),
    ('run lstm --input {"a":[1],"b":[2]}', ("x", "a, b")),
    ("run lstm --input [[1,2,3]] --steps 2", ("--steps 2", "it is 1", "leave --steps out")),
    ("run lstm --input [[[1,2,3]]] --batch 2", ("--batch 2", "it is 1", "leave --batch out")),
    ("run lstm --input [[[1,2,3]],[[1,2,3]]] --batch-first --steps 2", ("--steps 2", "it is 1")),
    ("run lstm --input [[[1,2,3]]] --unbatched", ("--unbatched", "(time, input)", "(1, 1, 3)", "leave it out")),
    ("run lstm --unbatched --batch 2", ("--unbatched", "--batch 2", "leave one of them out")),
    # text
    ("run lstm --text hello --alphabet helx", ("'hello'", "'o'", "'helx'")),
    ("run lstm --text hello --alphabet heello", ("'heello'", "repeats 'e'")),
    ("run lstm --text=", ("at least one character", "empty")),
    ("run lstm --text a,,b", ("at least one character", "empty")),
    ("run lstm --alphabet abc", ("--alphabet", "--text")),
    ("run lstm --text hi --input [[1]]", ("--input", "--text", "leave one")),
    ("run lstm --text hello --input-size 3", ("input size 3", "(5, 1, 4)", "--input-size 4")),
    ("run lstm --text hello --steps 4", ("--steps 4", "it is 5")),
    ("run lstm --text hello,hi", ("different lengths", "--batch-first")),
    ("run lstm --text ab,cd --unbatched", ("--unbatched", "one text", "there are 2")),
    # what to show
    ("run lstm --time 9", ("--time 9", "0 to 4")),
    ("run lstm --time 2:9", ("--time 2:9", "0 to 4")),
    ("run lstm --time 3:1", ("--time 3:1", "out of range", "0 to 4")),
    ("run lstm --time -1", ("--time -1", "0 to 4")),
    ("run lstm --time late", ("--time", "2:4", "'late'")),
    ("run lstm --time 1::2", ("--time", "2:4", "'1::2'")),
    ("run lstm --time 1.5", ("--time", "2:4", "'1.5'")),
    ("run lstm --time=", ("--time", "2:4", "''")),
    ("run lstm --layer 1", ("--layer 1", "0 to 0")),
    ("run lstm --layers 2 --layer 0,2", ("--layer 2", "0 to 1")),
    ("run lstm --unit 2", ("--unit 2", "0 to 1")),
    ("run lstm --unit 0:99999999999999999999", ("--unit 0:99999999999999999999", "0 to 1")),
    ("run lstm --item 1", ("--item 1", "0 to 0")),
    ("run lstm --item first", ("--item", "2:4", "'first'")),
    # where it runs
    ("run lstm --device nonsense", ("'nonsense'", "cpu")),
    ("run lstm --device=", ("device", "''")),
    ("run lstm --device cpu:x", ("torch cannot use the device 'cpu:x'",)),
    ("run lstm --device meta", ("device", "'meta'")),
    ("run lstm --device mkldnn", ("device", "'mkldnn'")),
    # weights
    ("run lstm --weights missing.pt", ("missing.pt", "no such file")),
    ("run lstm --weights=", ("--weights needs the name of a file, or JSON", "empty")),
    ("run lstm --weights .", ("expected a file", "found a directory")),
    ("inspect missing.pt", ("missing.pt", "no such file")),
    ("show missing.npz", ("missing.npz", "no such file")),
    # where it goes
    ("run lstm --output missing/out.txt", ("cannot write missing/out.txt", "No such file or directory")),
    ("run lstm --output .", ("--output needs the name of a file", "not '.'")),
    ("run lstm --output=", ("--output needs the name of a file",)),
    ("run lstm --save missing/out.npz", ("cannot write missing/out.npz", "No such file or directory")),
    ("run lstm --save out.txt", (".npz or .safetensors", "'out.txt' has neither", "give --save another name")),
    ("run lstm --save out", (".npz or .safetensors", "'out' has neither", "give --save another name")),
    ("run lstm --save=", (".npz or .safetensors", "'' has neither", "give --save another name")),
]


@pytest.mark.parametrize(("command", "fragments"), REFUSED, ids=[command for command, _ in REFUSED])
def test_a_request_that_cannot_be_carried_out(
    command: str, fragments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    """The line says what was expected, what was found and what to do, and no output that was asked for is written."""
    arguments = command.split(" ")
    if command.startswith("run lstm "):
        for flag, target in (("--output", "out.txt"), ("--save", "out.npz")):
            if not any(argument.startswith(flag) for argument in arguments):
                arguments += [flag, target]
    assert all_in(fragments, refused(capsys, *arguments))


@pytest.mark.skipif(torch.cuda.is_available(), reason="the device is there")
@pytest.mark.parametrize("device", ["cuda", "cuda:7"])
def test_a_device_that_is_not_there(device: str, capsys: pytest.CaptureFixture[str]) -> None:
    """torch's own reason is given in one line, without its advice over many."""
    assert all_in((f"'{device}'", "CUDA"), refused(capsys, "run", "lstm", "--device", device))


@pytest.mark.parametrize(("flag", "suffix"), [("--output", ".txt"), ("--save", ".npz")])
@pytest.mark.parametrize("target", ["folder", "file/out", "x" * 300])
def test_a_target_that_cannot_be_written(target: str, flag: str, suffix: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder in its place, a file for a folder, a name too long: the line has the name."""
    Path("folder" + suffix).mkdir()
    Path("file").write_text("")
    assert all_in(("cannot write", target + suffix), refused(capsys, "run", "lstm", flag, target + suffix))


@pytest.mark.parametrize("name", ["t.npz", "w.safetensors", "w.pt", "w.onnx", "w.keras", "w.H5"])
def test_a_report_does_not_replace_weights_or_a_trace(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Such a name is most likely a slip for --save, or the file that is read."""
    Path(name).write_bytes(b"precious")
    line = refused(capsys, "run", "lstm", "--seed", "1", "--output", name)
    assert all_in(("--output writes a report", name, "give another suffix"), line)
    assert Path(name).read_bytes() == b"precious"


def test_files_that_are_there_stay_as_they_were(capsys: pytest.CaptureFixture[str]) -> None:
    """A refused request does not touch what an earlier one has written."""
    Path("out.txt").write_text("earlier")
    Path("out.npz").write_text("earlier")
    refused(capsys, "run", "lstm", "--time", "9", "--output", "out.txt", "--save", "out.npz")
    assert (Path("out.txt").read_text(), Path("out.npz").read_text()) == ("earlier", "earlier")


FLAGS = "hidden dtype device format input weights h0 c0 lengths show time unit seed rtol save"
CONTROLLED = [
    ("show", EVIL),
    ("inspect", EVIL),
    ("run", EVIL),
    (EVIL,),
    ("run", "lstm", EVIL),
    ("run", "lstm", "--" + EVIL),
    ("run", "lstm", "--" + EVIL, "3"),
    ("run", "lstm", "-" + EVIL),
    *(("run", "lstm", f"--{flag}", EVIL) for flag in FLAGS.split()),
    ("run", "lstm", "--text", EVIL, "--alphabet", "ab"),
    ("run", "lstm", "--text", "ab", "--alphabet", EVIL),
    ("run", "lstm", "--output", EVIL + "/out"),
    ("run", "lstm", "--save", EVIL + "/out.npz"),
    ("run", "lstm", "--input", '{"\\u001b[31m\\u202e": [[1], [2, 3]]}'),
    ("run", "lstm", "--input", '{"' + EVIL + '": [[1]]}'),
    ("run", "lstm", "--time", "1\n2"),
    ("run", "lstm", "--input", "two\nlines"),
]


@pytest.mark.parametrize("arguments", CONTROLLED, ids=[repr(" ".join(arguments)) for arguments in CONTROLLED])
def test_control_codes_are_not_repeated(arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    """A name that a script took from elsewhere reaches the terminal as escapes, on one line."""
    refused(capsys, *arguments)


def test_no_arguments_is_no_empty_error(capsys: pytest.CaptureFixture[str]) -> None:
    """Called without a command it shows its help, and no error that says nothing."""
    answer = ask(capsys)
    assert "Usage" in answer.out + answer.err
    assert "error: \n" not in answer.err
