"""What `--help` begins with: three examples of each command, and the flags that people use; `--help-all` has them all."""

from copy import copy
from typing import Any, NamedTuple

from rnntrace.cli.command import HELP_FLAGS


class Help(NamedTuple):
    """Lines to type, each with what it does, and the names of flags."""

    examples: tuple[tuple[str, str], ...]
    flags: str


HELP = {
    "run": Help(
        (
            ("rnntrace run lstm --hidden 2 --seed 42", "every gate and state beside torch's"),
            ("rnntrace run gru --text hello --show all", "letters as one-hot vectors, and every term of every sum"),
            ("rnntrace run rnn --steps 50 --quiet --save t.npz", "the verdict alone, and a trace to look at later"),
        ),
        "input_size hidden layers bidirectional weights steps input seed show format save",
    ),
    "compare": Help(
        (
            ("rnntrace compare weights.pt", "saved weights, replayed beside torch"),
            ("rnntrace compare weights.pt --input x.npz --expected mine.npz", "your own outputs or gates, judged"),
            ("rnntrace compare weights.pt other.pt --seed 1", "two files of weights, on the same input"),
        ),
        "module layout batch_first input expected require tolerance seed show format",
    ),
    "backward": Help(
        (
            ("rnntrace backward lstm --hidden 2 --seed 1", "every gradient beside autograd's"),
            ("rnntrace backward lstm --loss last --show gradients", "of the loss of the last step: gates alone"),
            ("rnntrace backward weights.pt --input x.npz --expected grads.npz", "gradients of your own, judged"),
        ),
        "loss target grad expected truncate hidden input seed show format",
    ),
    "diagnose": Help(
        (
            ("rnntrace diagnose weights.pt --input x.npz --expected mine.npz", "which mistake explains these outputs"),
            ("rnntrace diagnose t.npz", "the same of a saved trace that failed"),
            ("rnntrace diagnose weights.pt --backward --input x.npz --expected grads.npz", "of gradients"),
        ),
        "expected input backward layout batch_first tolerance time_limit format",
    ),
    "mistakes": Help(
        (
            ("rnntrace mistakes lstm", "all that diagnose looks for"),
            ("rnntrace mistakes gru --family gate-order", "one family of them"),
            ("rnntrace mistakes lstm --backward", "those in a backward pass"),
        ),
        "family backward format output",
    ),
    "inspect": Help(
        (
            ("rnntrace inspect weights.pt", "what recurrent modules a file holds, with sizes"),
            ("rnntrace inspect weights.pt --format json", "for a script"),
        ),
        "names layout ignore format output",
    ),
    "explain": Help(
        (
            ("rnntrace explain lstm", "the equations, and which part of which array is whose"),
            ("rnntrace explain lstm --framework keras", "the same for Keras' kernels"),
            ("rnntrace explain gru --seed 1 --at t=2,unit=1", "with the numbers of one unit put in"),
        ),
        "at top back framework backward hidden weights input seed format",
    ),
    "cells": Help(
        (
            ("rnntrace cells", "the cells that are built in"),
            ("rnntrace cells lstm", "one of them as a text, to change and give to --cell"),
        ),
        "format output",
    ),
    "show": Help(
        (
            ("rnntrace show t.npz", "a saved trace again"),
            ("rnntrace show t.npz --time 2:4 --unit 0", "a part of it"),
            ("rnntrace show t.npz --format page -o t.html", "as a page to play with"),
        ),
        "show layer time unit item digits max_rows format output",
    ),
    "plot": Help(
        (
            ("rnntrace plot t.npz -o t.png", "every gate and state as a heatmap"),
            ("rnntrace plot t.npz -o t.svg --unit 0,1", "two units of it"),
        ),
        "output kind layer time unit item",
    ),
    "layouts": Help(
        (
            ("rnntrace layouts", "the order of gates and the biases of every framework"),
            ("rnntrace layouts keras", "one of them, with how to bring it to torch's"),
        ),
        "format output",
    ),
    "doctor": Help((("rnntrace doctor", "versions, and which extras are there"),), "format output"),
}


def shown(command: Any, everything: bool) -> Any:
    """A copy of a command of typer's with examples below its summary, and few flags in one panel or all of them in theirs."""
    examples, flags = HELP[command.name]
    lines = [f"  {line}\n      {_plain(says)}" for line, says in examples]
    more = f"The flags that people use: {HELP_FLAGS[1]}" if everything else f"Every flag: {HELP_FLAGS[-1]}"
    copied = copy(command)
    copied.help = "\n\n".join((command.help, "\n".join(("Examples:", *lines)), more))
    copied.params = [_stated(param) for param in command.params if everything or _is_among(flags.split(), param)]
    for param in [] if everything else copied.params:
        param.rich_help_panel = None
    return copied


def _is_among(flags: list[str], param: Any) -> bool:
    return param.name in flags or param.param_type_name == "argument"


def _stated(param: Any) -> Any:
    """A parameter whose default stands in its help, where it is said in words: typer would put these in parentheses."""
    copied = copy(param)
    if isinstance(getattr(param, "show_default", None), str):
        copied.help, copied.show_default = f"{param.help} {_plain(f'[default: {param.show_default}]')}", False
    return copied


def _plain(text: str) -> str:
    """A text in which a bracket is a bracket, and no markup."""
    return text.replace("[", r"\[")
