"""What is typed that no command takes, and the one line that helps: other tools' words, a kind or a file for a command."""

import re
import shlex
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from typer.exceptions import TyperException

from rnntrace.errors import show
from rnntrace.model.kinds import is_kind

OTHER_WORDS = {
    "hidden-size hidden-dim hidden-units units": "the size of the hidden state is --hidden",
    "input-dim features in-features": "the size of x is --input-size",
    "num-layers n-layers depth": "the number of layers is --layers",
    "seq-len seq-length sequence-length length timesteps time-steps t": "the number of steps is --steps, or -T",
    "batch-size bs": "the number of sequences is --batch, or -B",
    "bi bidir birectional": "a second direction is --bidirectional, or -b",
    "bias": "both biases are there, unless --no-bias leaves them out",
    "activation-function": "an activation is --nonlinearity of an RNN, and one of the variants --activation",
    "random-seed manual-seed": "a seed is --seed",
    "cuda gpu": "a graphics card is --device cuda",
    "eps epsilon tol threshold": "how far values may be apart is said by --rtol and --atol",
    "precision float": "the number format is --dtype, and decimals are --digits",
    "decimals": "decimals in a table are --digits, and those of hand-ins --tolerance decimals:N",
    "verbose v vv": "everything there is to see is --show all",
    "epochs lr learning-rate optimizer train": "nothing is trained: weights are drawn, or loaded with --weights",
    "model checkpoint state-dict": "saved weights are the argument of compare, and --weights of run",
    "x data inputs": "x is --input, a file or JSON",
    "y target-output outputs labels": "outputs to judge by are --expected, of compare",
    "save-trace out": "a trace is saved with --save, and what is printed with --output",
    "json csv html markdown latex": "a format is --format NAME, or -f NAME",
    "png svg pdf picture figure": "a picture is --plot FILE",
    "gates": "what is shown is --show gates,states,terms,weights,outputs",
    "gradients grads": "gradients are a command: rnntrace backward",
    "examples": "examples stand in --help",
}
"""What flags are called elsewhere, and what to type here; words of one line are parted by blanks."""
_SAID = {word: line for words, line in OTHER_WORDS.items() for word in words.split()}
_TAKES = {"int": "a whole number", "float": "a number"}


def explained(error: TyperException, commands: Mapping[str, Any]) -> str:
    """What is wrong with a line that typer refuses, in one sentence; empty where the help has been printed."""
    message = error.format_message().replace("Value error, ", "").rstrip(".")
    if not message:
        return ""
    context: Any = getattr(error, "ctx", None)
    command = "rnntrace" + (f" {context.info_name}" if getattr(context, "parent", None) else "")
    if found := re.match("No such command '(.*?)'", message, re.DOTALL):
        return _no_command(found[1], commands)
    flag = getattr(error, "option_name", None)
    if flag and message.startswith("No such option"):
        return _no_flag(flag, command, [name for param in context.command.params for name in param.opts])
    if flag and message.endswith("requires an argument"):
        return f"{flag} needs a value: {_help_of(context, flag)}See {command} --help"
    if flag and message.endswith("does not take a value"):
        return f"{flag} takes no value: leave out what stands behind it"
    if found := re.fullmatch(r"Got unexpected extra argument\(s\) \((.*)\)", message, re.DOTALL):
        return f"{command} takes no more arguments: leave out {show(found[1])}. See {command} --help"
    param: Any = getattr(error, "param", None)
    if message.startswith("Missing argument"):
        return f"expected {param.metavar or param.name}: {_sentence(param.help)}See {command} --help"
    if errors := list(getattr(error.__context__, "errors", list)()):
        return f"{_not_understood(param, message, errors[0])}. See {command} --help"
    return f"{message}. See {command} --help"


def _no_command(word: str, commands: Mapping[str, Any]) -> str:
    kind, lower = word.partition("(")[0], word.lower()
    if is_kind(kind):
        return f"{show(word)} is a kind of module, and no command: did you mean rnntrace run {shlex.quote(show(word))}?"
    if lower in ("help", "version"):
        return f"did you mean rnntrace --{lower}?"
    if Path(word).suffix or len(Path(word).parts) > 1:
        return f"{show(word)} is no command: for a file of weights, rnntrace inspect FILE, and rnntrace compare FILE"
    close = get_close_matches(lower, commands, 1)
    hint = f"did you mean rnntrace {close[0]}?" if close else f"choose one of {', '.join(commands)}"
    return f"there is no command {show(word)}: {hint}"


def _no_flag(flag: str, command: str, flags: Sequence[str]) -> str:
    word = flag.lstrip("-").replace("_", "-").lower()
    if command == "rnntrace":
        return f"there is no flag {show(flag)} in front of a command: put it behind, as in rnntrace run lstm {show(flag)}"
    if word in _SAID:
        return f"there is no flag {show(flag)}: {_SAID[word]}"
    close = get_close_matches(f"--{word}", flags, 1, 0.7)
    hint = f": did you mean {close[0]}?" if close else "."
    return f"there is no flag {show(flag)}{hint} See {command} --help"


def _help_of(context: Any, flag: str) -> str:
    return next((_sentence(param.help) for param in context.command.params if flag in param.opts), "")


def _sentence(text: str | None) -> str:
    """A help text as the rest of a sentence."""
    return f"{text[0].lower()}{text[1:].rstrip('.')}. " if text else ""


def _not_understood(param: Any, message: str, error: Mapping[str, Any]) -> str:
    """What a flag takes, and what it was given."""
    flag, found = param.opts[0], show(str(error.get("input")))
    if takes := _TAKES.get(str(error.get("type")).partition("_")[0]):
        return f"{flag} takes {takes}, not {found!r}"
    if "is not one of" in message:
        choices = message.rpartition("is not one of ")[2].replace("'", "")
        return f"{flag} is one of {choices}, not {found!r}"
    # Of numbers out of range: "Input should be greater than or equal to 0".
    rule = message.rpartition("Input should be ")[2]
    return f"{flag} must be {rule}, not {found!r}" if rule != message else f"{flag}: {message}, not {found!r}"
