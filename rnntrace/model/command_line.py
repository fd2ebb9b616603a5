"""Lines to type: a module as the arguments of `rnntrace run` that build it, and a file of weights for `rnntrace compare`."""

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from rnntrace.model.kinds import command_name
from rnntrace.model.merges import CONCAT
from rnntrace.model.spec import ModuleSpec


def command_line(spec: ModuleSpec) -> str:
    """`lstm -i 3 -H 2 --layers 2 --peepholes`; empty for what a file alone may hold.

    That is a module in reverse alone, layers that merge their directions between them, and a cell of one's own.
    """
    if spec.reverse or spec.inner_merge != CONCAT or spec.is_custom:
        return ""
    values: dict[str, tuple[Any, Any]] = {
        "layers": (spec.num_layers, 1),
        "bidirectional": (spec.bidirectional, False),
        "no_bias": (not spec.bias, False),
        "proj_size": (spec.proj_size, 0),
        "reset_before": (not spec.reset_after, False),
        **{name: (getattr(spec, name), False) for name in ("peepholes", "coupled", "layer_norm", "independent")},
        "clip": (spec.clip, None),
        **{name: (own, None) for name, own in spec.unusual_activations.items()},
        "reverse_activations": (",".join(spec.reverse_activations), ""),
        "merge": (spec.merge, CONCAT),
    }
    """By flag: what the module has, and what goes without saying."""
    words = [command_name(spec.kind), f"-i {spec.input_size}", f"-H {spec.hidden_size}"]
    for name, (value, usual) in values.items():
        if value not in (None, usual):
            flag = "--" + name.replace("_", "-")
            words.append(flag if value is True else f"{flag} {value}")
    return " ".join(words)


def compare_line(file: str, flags: Mapping[str, str | Sequence[str] | None]) -> str:
    """`rnntrace compare model.pt --module encoder`: with the flags that have a value, once for each of several."""
    words = ["rnntrace", "compare", file]
    for name, value in flags.items():
        for one in [value] if isinstance(value, str) else value or ():
            words += ["--" + name.replace("_", "-"), one]
    return shlex.join(words)
