"""Names of custom modules: a pattern says which of their parameters is which of torch's.

`weight_ih=W_ih{_reverse}.{layer}` reads `W_ih.0` as weight_ih_l0 and `W_ih_reverse.1` as weight_ih_l1_reverse;
`weight_ih=W_{gate}x` reads `W_ix`, `W_fx`, `W_gx` and `W_ox` as the blocks of weight_ih_l0, gate by gate.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from rnntrace.errors import UsageError
from rnntrace.model.layouts import PARTS, parameter_suffix

JOINED, BIAS, PEEPHOLES = "weight", "bias", "peepholes"
"""Beside torch's parts: one matrix on x and h together, one bias that stands for both, and weights on the cell state."""
ALL_PARTS = (*PARTS, JOINED, BIAS, PEEPHOLES)
WORDS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "LSTM": {
        "i": ("i", "in", "input", "u", "update"),
        "f": ("f", "forget"),
        "g": ("g", "c", "j", "cell", "candidate"),
        "o": ("o", "out", "output"),
    },
    "GRU": {
        "r": ("r", "reset"),
        "z": ("z", "u", "i", "update"),
        "n": ("n", "h", "c", "g", "new", "hidden", "candidate"),
    },
    "RNN": {"h": ("h", "hidden")},
}
"""By kind and torch's letter: what gates are called. A word may be another gate's in the other kind."""

_FIELD = re.compile(r"\{([^{}]*)\}")
_PART = re.compile(
    rf"(?P<part>{'|'.join(ALL_PARTS)})(?:\[(?P<gates>[a-z]+)\])?(?P<reverse>_reverse)?(?:_l\{{layer\}}\{{reverse\}})?"
)
_ANY_GATE = "|".join(
    sorted(
        {word for gates in WORDS.values() for words in gates.values() for word in words}, key=lambda word: (-len(word), word)
    )
)
_HOW = "expected one such as 'weight_ih=W_ih{_reverse}.{layer}' or 'weight_ih=W_{gate}x'"


@dataclass(frozen=True)
class Named:
    """What a name says: the part of which layer and direction of a module it is.

    `gates` are words for those that the array has blocks for, see `WORDS`; none if it has all, or all that no other array has.
    """

    prefix: str
    part: str
    gates: tuple[str, ...] = ()
    layer: int = 0
    reverse: bool = False


class Renaming:
    """Patterns `PART=PATTERN`, read once.

    PART is weight_ih, weight_hh, bias_ih, bias_hh or weight_hr; torch's own ending, `_l{layer}{reverse}`, may follow it. It is
    `weight` for one matrix on x and h together, `bias` for one bias that stands for both, or `peepholes`. `weight_hh[n]` is
    the block of one gate, and `bias_ih_reverse` the reverse direction's.
    In PATTERN, `{layer}` stands for the number of the layer, `{gate}` for a word for a gate, see `WORDS`, and any other word in
    braces for itself: it marks the reverse direction where it is there. A prefix in front of the whole name is the module's.
    Raises UsageError for any other text.
    """

    def __init__(self, patterns: Sequence[str] = ()) -> None:
        self._patterns = [_parse(pattern) for pattern in patterns]

    @property
    def of_whole_parameters(self) -> bool:
        """Whether each name means a whole parameter of torch, so that a name is all that is to be changed."""
        return all(part in PARTS and not gates and "gate" not in regex.groupindex for part, gates, _, regex in self._patterns)

    def __call__(self, name: str) -> str:
        """The name in torch's words; as it is if no pattern fits."""
        found = self.read(name)
        return name if found is None else found.prefix + found.part + parameter_suffix(found.layer, reverse=found.reverse)

    def read(self, name: str) -> Named | None:
        """What the name says; None if no pattern fits."""
        for part, gates, reverse, pattern in self._patterns:
            if match := pattern.fullmatch(name):
                found = match.groupdict()
                words = (*gates, *([word.lower()] if (word := found.get("gate")) else []))
                return Named(found["prefix"], part, words, int(found.get("layer") or 0), reverse or bool(found.get("reverse")))
        return None


def kind_with(words: Collection[str]) -> str | None:
    """LSTM, GRU or RNN, whichever has a gate for each of these words or letters, and no other gate; None for neither."""
    for kind, gates in WORDS.items():
        known = [gate_of(word, kind) for word in words]
        if sorted(filter(None, known)) == sorted(gates) and None not in known:
            return kind
    return None


def gate_of(word: str, kind: str) -> str | None:
    """Torch's letter of a gate that is called so; None if the kind has no such gate."""
    return next((letter for letter, words in WORDS[kind].items() if word in words), None)


def _parse(text: str) -> tuple[str, str, bool, re.Pattern[str]]:
    """The part, the gates that are fixed, whether it is the reverse direction's, and what fits a name."""
    left, equals, right = text.partition("=")
    if not equals or not right.strip():
        raise UsageError(f"`names={text!r}` is no pattern: {_HOW}")
    part = _PART.fullmatch(left.strip())
    if part is None:
        raise UsageError(f"`names={text!r}` names no parameter of torch: the left side is one of {', '.join(ALL_PARTS)}")
    pieces = _FIELD.split(right.strip())
    literals, fields = pieces[::2], pieces[1::2]
    if any(brace in literal for literal in literals for brace in "{}"):
        raise UsageError(f"`names={text!r}` has a brace that is not closed or not opened: {_HOW}")
    reverse = [field for field in fields if field not in ("layer", "gate")]
    if len(reverse) > 1 or "" in reverse or max(fields.count("layer"), fields.count("gate")) > 1:
        raise UsageError(
            f"`names={text!r}` has a field too many: {{layer}}, {{gate}} and one for the reverse direction may stand in it"
        )
    known = {"layer": r"(?P<layer>\d{1,4})", "gate": rf"(?P<gate>(?i:{_ANY_GATE}))"}
    pattern = re.escape(literals[0])
    for field, literal in zip(fields, literals[1:], strict=True):
        pattern += known.get(field) or f"(?P<reverse>{re.escape(field)})?"
        pattern += re.escape(literal)
    regex = re.compile(rf"(?P<prefix>(?:.*[./])?){pattern}(?::0)?", re.DOTALL)
    return part["part"], part["gates"] or "", bool(part["reverse"]), regex
