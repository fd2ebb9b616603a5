"""What to type instead of a line that cannot be read: for words that newcomers try, and for those that are misspelt."""

import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from rnntrace.errors import show

OTHER_FLAGS = {
    "--seq-len --seq-length --sequence-length --timesteps --time-steps --length --n-steps": "--steps",
    "--hidden-size --hidden-dim --units --n-hidden --hidden-units --size": "--hidden",
    "--input-dim --features --n-features --in": "--input-size",
    "--num-layers --n-layers --depth": "--layers",
    "--batch-size --bs": "--batch",
    "--bi --bidir --both": "--bidirectional",
    "--bias": "--no-bias",
    "--tol --precision --eps --epsilon": "--tolerance decimals:3, or --atol 1e-3",
    "--abs --abs-tol": "--atol",
    "--rel --rel-tol": "--rtol",
    "--x --data --inputs": "--input",
    "--weight --model --checkpoint --ckpt --state-dict --load": "--weights",
    "--out --write": "--output",
    "--activation-function --act": "--activation",
    "--random-seed --manual-seed": "--seed",
    "--type --precision-type --float": "--dtype",
    "--gpu --cuda": "--device cuda",
    "--json": "--format json",
    "--csv": "--format csv",
    "--html": "--format html",
    "--all --verbose --full": "--show all",
    "--gates --states --terms --outputs": "--show",
    "--expect --reference --outputs-file --want --target-output": "--expected",
    "--step --at-step --timestep": "--time",
    "--silent": "--quiet",
    "--lr --epochs --train --optimizer --learning-rate": "nothing",
}
"""What people type, and the flag that they mean."""
MEANT = {typed: flag for words, flag in OTHER_FLAGS.items() for typed in words.split()}
OTHER_COMMANDS = {
    "help": "--help",
    "version": "--version",
    "trace": "run lstm",
    "start": "run lstm",
    "test": "run lstm",
    "check": "compare FILE --expected FILE",
    "verify": "compare FILE --expected FILE",
    "diff": "compare FILE FILE",
    "equations": "explain lstm",
    "formula": "explain lstm",
    "grad": "backward lstm",
    "gradients": "backward lstm",
    "debug": "diagnose FILE",
    "errors": "mistakes lstm",
    "kinds": "run",
    "list": "cells",
    "info": "doctor",
    "load": "inspect FILE",
    "open": "show FILE",
    "draw": "plot FILE",
}


def for_command(word: str, commands: Sequence[str]) -> str:
    """What to type where a command was expected, and this was found."""
    return f"there is no command {show(word)}: {_command_for(word, commands)}"


def _command_for(word: str, commands: Sequence[str]) -> str:
    from rnntrace.model.kinds import is_kind

    bare = re.sub(r"\(.*", "", word.removeprefix("torch.").removeprefix("nn."))
    if is_kind(bare):
        module = word if bare == word else f"'{word}'"
        return f"did you mean: rnntrace run {module}"
    if Path(word).exists() or re.search(r"\.(pt|pth|npz|npy|json|onnx|keras|h5|safetensors|csv|mat)$", word):
        return f"did you mean: rnntrace compare {word}"
    if word.lower() in OTHER_COMMANDS:
        return f"did you mean: rnntrace {OTHER_COMMANDS[word.lower()]}"
    if near := get_close_matches(word.lower(), commands, 1, 0.6):
        return f"did you mean: rnntrace {near[0]}"
    return f"the commands are {', '.join(commands)}"


def for_flag(word: str, command: str, flags: Sequence[str]) -> str:
    """What to type where a command does not have this flag."""
    plain = word.lower().replace("_", "-")
    meant = MEANT.get(plain, plain if plain in flags else "")
    if not meant:
        near = get_close_matches(plain, flags, 1, 0.7)
        meant = near[0] if near else ""
    first = meant.split()[0].rstrip(",") if meant else ""
    if first.startswith("--") and first not in flags:
        return f"{command} has no {word}, and no {first} either: see rnntrace {command} --help-all"
    if meant == "nothing":
        return f"{command} has no {word}: rnntrace computes one pass, and trains nothing"
    if meant:
        return f"{command} has no {word}: did you mean {meant}"
    return f"{command} has no {word}: see rnntrace {command} --help-all"


def for_value(flag: str, error: Mapping[str, Any]) -> str:
    """What a flag takes, in place of what was typed; empty for a flag of words."""
    wanted = {"int": "a whole number, such as 4", "float": "a number, such as 1e-3"}
    kind = str(error.get("type", "")).partition("_")[0]
    return f"{flag} should be {wanted[kind]}, not {str(error.get('input'))!r}" if kind in wanted else ""


def said_of(error: Any, arguments: Sequence[str], commands: Mapping[str, Any]) -> str:
    """A sentence on a line that typer refuses, empty where typer's own says as much."""
    command = arguments[0] if arguments else ""
    parameters = commands[command].params if command in commands else []
    message = error.format_message()
    if "No such command" in message:
        return for_command(command, [*commands])
    if command not in commands:
        return ""
    if "No such option" in message:
        return for_flag(error.option_name, command, [name for one in parameters for name in one.opts if name.startswith("-")])
    if "requires an argument" in message:
        return f"{error.option_name} needs a value behind it: see rnntrace {command} --help-all"
    if "unexpected extra argument" in message:
        takes = " ".join((one.metavar or one.name).strip("[]") for one in parameters if one.param_type_name == "argument")
        extra = message.rpartition("(")[2].rpartition(")")[0]
        return f"{command} takes {takes or 'flags alone'}, and there is more: {extra}; flags begin with --"
    parameter, found = getattr(error, "param", None), _errors(error)
    return for_value(parameter.opts[0], found[0]) if parameter is not None and parameter.opts and found else ""


def _errors(error: Any) -> list[Mapping[str, Any]]:
    """What pydantic says of a value."""
    found = getattr(error.__context__, "errors", None)
    return list(found()) if found else []
