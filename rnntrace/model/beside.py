"""Tensors beside a module's parameters: those by which it is another module than its parameters alone would tell.

A cell with layer norm, peepholes or weight norm has torch's names too, and more. What torch's module of those names computes
is then not what this one does.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from fnmatch import fnmatchcase
from glob import escape

from rnntrace.errors import show
from rnntrace.model.layouts import PARTS

Shape = tuple[int, ...]

WRAPPERS = {"state_dict", "model_state_dict", "model", "net", "network", "module", "_orig_mod", "params"}
"""What stands around a whole model in a checkpoint, and is no part of it."""
INPUTS = ("x", "h0", "c0", "lengths", "mask")
"""Signals that may be read from the same file as the weights."""
LONGEST = 200
"""Letters of a name, its last ones, that are looked at."""
FEW = 3
"""Names and patterns that are listed."""

_FORM = re.compile(
    rf"(?P<owner>(?:.*\.)?)(?:parametrizations\.)?(?P<parameter>(?:{'|'.join(PARTS)})(?:_l\d{{1,4}}(?:_reverse)?)?)[._].+",
    re.DOTALL,
)
"""A form of one of torch's parameters: weight_hh_l0_raw, parametrizations.weight_hh_l0.original0."""
_LIKE_A_CELLS = re.compile(
    r"(?:(?i:(?:weight|bias|kernel|recurrent_kernel|recurrent|parametrizations|gamma|beta|peep\w*?|ln|bn|\w*norm)s?)"
    r"|[WURVPB]_?[a-z]{0,2}|[wurvpb]_[a-z]{1,2}|[wuvb])(?=[._\d]|$).*",
    re.DOTALL,
)
"""Names that a cell gives its own parameters, whichever cell it is."""
_SIGNAL = re.compile(
    r"x|y|y_[hc]|inputs?|outputs?|lengths|mask|target|hx|cx|[hc]_?[0n]|[ifgochrzn](?:_l\d+(?:_reverse)?)?", re.IGNORECASE
)
"""Signals that people save beside weights."""

_NATURES = {
    r".*_raw": "AWD-LSTM's weight drop (its forward pass starts from the _raw weights)",
    r"(?!.*parametrizations\.).*_[gv]|.*\.original[01]": "weight norm (the weight itself is g·v/‖v‖)",
    r".*(?:_orig|_mask)": "pruning or normalisation by torch.nn.utils",
    r"(?:.*\.)?parametrizations\..*": "a parametrization that computes the weight",
    r".*(?:_packed_params|zero_point|_?scale)(?:\..*)?": "quantisation",
    r"(?:.*[._])?(?:batch_?norm|bn)(?:s?[._\d].*)?": "batch norm",
    r"(?:.*[._])?(?:ln|\w*norm)(?:s?[._\d].*)?": "layer norm",
    r"(?:.*\.)?(?:peep.*|(?:weight|[wWpP])_?c_?[ifo](?:[._].*)?)": "peepholes",
    r"(?:.*\.)?(?:bias|[bB])(?:_l\d+)?(?:_reverse)?": "one bias where torch has two, bias_ih and bias_hh (one may be zero)",
}
"""What names beside the parameters are a sign of."""


def owners(names: Collection[str], prefixes: Collection[str]) -> dict[str, list[str]]:
    """By prefix of the module that they belong to: forms of torch's parameters among names, such as weight_hh_l0_raw.

    `prefixes` are those of the parameters themselves. A wrapper that computes a weight has the module inside as `module`.
    """
    found: dict[str, list[str]] = {}
    for name in names:
        if match := _FORM.fullmatch(name):
            owner = match["owner"]
            inside = f"{owner}module."
            found.setdefault(inside if owner not in prefixes and inside in prefixes else owner, []).append(name)
    return found


def strangers(prefix: str, shapes: Mapping[str, Shape | None], own: Collection[str], others: Collection[str]) -> list[str]:
    """Names under a module's prefix that are none of its parameters, though the module of these parameters has no others.

    `shapes` are those of the whole file by name, as far as they are known, `own` the names of the module's parameters, and
    `others` those of all parameters. In a model without a prefix other layers have no prefix in common with it: there,
    only what is named or shaped like a part of a cell is the module's.
    """
    inside = [name for name in shapes if name.startswith(prefix) and name not in own]
    if {part for part in prefix.split(".") if part} <= WRAPPERS:
        matrices = {name[len(prefix) :]: shape for name in own if (shape := shapes[name]) and len(shape) == 2}
        return [name for name in inside if name not in others and _is_like_a_cells(name[len(prefix) :], shapes[name], matrices)]
    return inside


def _is_like_a_cells(name: str, shape: Shape | None, matrices: Mapping[str, Shape]) -> bool:
    """Whether a parameter of a model is named, or, as one of the model's own, shaped like a part of a cell."""
    if "." not in name and _SIGNAL.fullmatch(name):
        return False
    if _LIKE_A_CELLS.fullmatch(name):
        return True
    if shape is None or "." in name:
        return False
    if len(shape) == 2 and {shape, shape[::-1]} & {*matrices.values()}:
        return True
    # Gates times H are the rows, H the columns of a matrix that reads the hidden state.
    widths = {size for part, matrix in matrices.items() for size in matrix[: 1 if part.startswith("weight_ih") else 2]}
    vector = [size for size in shape if size != 1] or [*shape[:1]]
    return len(vector) == 1 and vector[0] in widths


def signals(names: Collection[str]) -> tuple[str, ...]:
    """Outputs and gates among the names of a model without a prefix: people save them beside the weights."""
    return tuple(name for name in names if "." not in name and _SIGNAL.fullmatch(name) and name not in INPUTS)


def nature(names: Collection[str]) -> str:
    """What these names beside a module's parameters make of it, in words; empty if that cannot be told."""
    for pattern, words in _NATURES.items():
        if any(re.fullmatch(pattern, name[-LONGEST:], re.DOTALL | re.IGNORECASE) for name in names):
            return words
    return ""


def listed(names: Collection[str]) -> str:
    """The first of these names, and how many there are beside."""
    some = ", ".join(show(name)[:60] for name in [*names][:FEW])
    return some + (f" and {len(names) - FEW} more" if len(names) > FEW else "")


def ignoring(prefix: str, names: Collection[str], kept: Collection[str]) -> str:
    """The flags that leave out these names, most of them under a module's prefix, and none of those that are kept."""
    return " ".join(f"`ignore='{show(pattern)[:80]}'`" for pattern in [*_patterns(prefix, names, kept)][:FEW])


def _patterns(prefix: str, names: Collection[str], kept: Collection[str]) -> Iterator[str]:
    heads: dict[str, list[str]] = {}
    for name in names:
        word = re.match(r"[A-Za-z]+[._]?", name.removeprefix(prefix)) if name.startswith(prefix) else None
        heads.setdefault(prefix + word[0] if word else name, []).append(name)
    for head, found in heads.items():
        patterns = [f"{escape(start)}*" for start in (head, _common_start(found)) if len(found) > 1]
        fitting = [pattern for pattern in patterns if not any(fnmatchcase(name, pattern) for name in kept)]
        yield from fitting[:1] or map(escape, found)


def _common_start(names: Collection[str]) -> str:
    first, last = min(names), max(names)
    differs = (place for place, (one, other) in enumerate(zip(first, last, strict=False)) if one != other)
    return first[: next(differs, len(first))]
