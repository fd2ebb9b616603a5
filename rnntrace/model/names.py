"""Names of custom modules: a pattern says which of their parameters is which of torch's.

`weight_ih=W_ih{_reverse}.{layer}` reads `W_ih.0` as weight_ih_l0 and `W_ih_reverse.1` as weight_ih_l1_reverse.
"""

import re
from collections.abc import Sequence

from rnntrace.errors import UsageError
from rnntrace.model.layouts import PARTS, parameter_suffix

_FIELD = re.compile(r"\{([^{}]*)\}")
_HOW = "expected one such as 'weight_ih=W_ih{_reverse}.{layer}'"


class Renaming:
    """Patterns `PART=PATTERN`, read once.

    PART is weight_ih, weight_hh, bias_ih, bias_hh or weight_hr; torch's own ending, `_l{layer}{reverse}`, may follow it.
    In PATTERN, `{layer}` stands for the number of the layer, and any other word in braces for itself: it marks the reverse
    direction where it is there. A prefix in front of the whole name is the module's. Raises UsageError for any other text.
    """

    def __init__(self, patterns: Sequence[str] = ()) -> None:
        self._patterns = [_parse(pattern) for pattern in patterns]

    def __call__(self, name: str) -> str:
        """The name in torch's words; as it is if no pattern fits."""
        for part, pattern in self._patterns:
            if match := pattern.fullmatch(name):
                found = match.groupdict()
                suffix = parameter_suffix(int(found.get("layer") or 0), reverse=bool(found.get("reverse")))
                return found["prefix"] + part + suffix
        return name


def _parse(text: str) -> tuple[str, re.Pattern[str]]:
    left, equals, right = text.partition("=")
    part = left.strip().removesuffix("_l{layer}{reverse}")
    if not equals or not right.strip():
        raise UsageError(f"`names={text!r}` is no pattern: {_HOW}")
    if part not in PARTS:
        raise UsageError(f"`names={text!r}` names no parameter of torch: the left side is one of {', '.join(PARTS)}")
    pieces = _FIELD.split(right.strip())
    literals, fields = pieces[::2], pieces[1::2]
    if any(brace in literal for literal in literals for brace in "{}"):
        raise UsageError(f"`names={text!r}` has a brace that is not closed or not opened: {_HOW}")
    reverse = [field for field in fields if field != "layer"]
    if len(reverse) > 1 or "" in reverse or fields.count("layer") > 1:
        raise UsageError(f"`names={text!r}` has a field too many: {{layer}} and one for the reverse direction may stand in it")
    pattern = re.escape(literals[0])
    for field, literal in zip(fields, literals[1:], strict=True):
        pattern += r"(?P<layer>\d{1,4})" if field == "layer" else f"(?P<reverse>{re.escape(field)})?"
        pattern += re.escape(literal)
    return part, re.compile(rf"(?P<prefix>(?:.*\.)?){pattern}", re.DOTALL)
