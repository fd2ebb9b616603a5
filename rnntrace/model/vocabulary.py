"""What outputs, gates, states and input signals are called in files and in flags."""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher

from rnntrace.model.merges import LAST_OUTPUT
from rnntrace.model.spec import REVERSE, ModuleSpec

Name = str | tuple[int, str, str]
"""output, or the final state h_n, c_n, …; or (layer, direction, symbol)."""

_OF_A_LAYER = re.compile(r"\d+[./]\w+[./]\w|[a-z]_?l\d+(_\w+)?")
"""The form of a gate's or a state's name, whichever layer, direction and symbol it names."""
_SIMILAR = 0.8
"""From so much in common, of 1, a word is taken for another that was misspelt."""


@dataclass(frozen=True)
class Vocabulary:
    """The words for what a request may hold: each in small letters, as capitals do not count, with what it means.

    `misleading` are words for something else that are easily taken for one of these, with what was probably meant; `others`
    are words for something else that are taken for nothing.
    """

    words: Mapping[str, Name]
    canonical: Mapping[Name, str]
    misleading: Mapping[str, Name]
    others: Collection[str] = ()

    def __getitem__(self, word: str) -> Name | None:
        """What a word means, if it means anything."""
        return self.words.get(word.lower())

    def meant(self, word: str) -> str:
        """The name that was probably meant by a word that means nothing; empty if it is another word altogether."""
        plain = _plain(word)
        if word in self.others or not plain:
            return ""
        if plain in self.misleading:
            return self.canonical[self.misleading[plain]]
        ratios = {known: SequenceMatcher(None, plain, _plain(known)).ratio() for known in self.words}
        best = max(ratios, key=ratios.__getitem__)
        similar = ratios[best] >= _SIMILAR or _OF_A_LAYER.fullmatch(word.lower())
        return self.canonical[self.words[best]] if similar else ""


def of_results(spec: ModuleSpec) -> Vocabulary:
    """The words for what a module gives: its outputs, and each gate and state of each layer and direction.

    One of the only layer and direction is called by its symbol alone. (0, "reverse", "i") is `0.reverse.i`, or `i_l0_reverse`
    as in the names of torch's weights.
    """
    words: dict[str, Name] = {}
    misleading: dict[str, Name] = {}
    misleading |= {"out": "output", "outs": "output", "hidden": f"{spec.cell.output}_n"}
    misleading |= {"cell": "c_n"} if spec.has_cell_state else {}
    # In ONNX's words (https://onnx.ai/onnx/operators/onnx__LSTM.html), and as they are typed.
    other_words = {"output": ("Y",), **{f"{state}_n": (f"{state}n", f"Y_{state}") for state in spec.cell.states}}
    for name, others in other_words.items():
        words |= {word.lower(): name for word in (name, *others)}
    if spec.merges:
        other_words[LAST_OUTPUT] = ()
    canonical: dict[Name, str] = {name: name for name in other_words}
    for layer, direction in spec.layer_directions:
        alone = len(spec.layer_directions) == 1
        for symbol, role in spec.cell.roles.items():
            key = (layer, direction, symbol)
            long, short = f"{layer}.{direction}.{symbol}", f"{symbol}_l{layer}"
            backwards = direction == REVERSE and len(spec.directions) > 1
            words |= {long: key, f"{short}_reverse" if backwards else short: key}
            words |= {symbol: key} if alone else {}
            canonical[key] = symbol if alone else long
            # Of several layers or directions, the symbol alone does not tell which.
            misleading.setdefault(symbol, key)
            misleading.setdefault(_plain(role), key)
    for state in spec.cell.states:
        # h_0, h_t, h_T, h1: what a state is called at some step.
        misleading |= {f"{state}{step}": f"{state}_n" for step in ("t", "last", "final", "out", *map(str, range(10)))}
    signals = signal_names(spec.cell.states)
    return Vocabulary({word.lower(): name for word, name in words.items()}, canonical, misleading, signals)


def of_signals(states: Iterable[str] = ()) -> Vocabulary:
    """The words for what a run is fed that starts from these states, or from torch's."""
    names: dict[Name, str] = {name: name for name in signal_names(states)}
    meant = {"input": "x", "inputs": "x", "xs": "x", "hx": "h0", "cx": "c0", "length": "lengths", "seqlens": "lengths"}
    return Vocabulary({name.lower(): name for name in names.values()}, names, {**{s: s for s in names.values()}, **meant})


def signal_names(states: Iterable[str]) -> tuple[str, ...]:
    """What a run is fed: x, h0 and c0, which a module may refuse, the start of other states, lengths and a mask."""
    return ("x", *dict.fromkeys(("h0", "c0", *(f"{state}0" for state in states))), "lengths", "mask")


def output_names(spec: ModuleSpec) -> tuple[str, ...]:
    """What a module returns: output and final states, h_n and, for an LSTM, c_n; the last output where it is merged."""
    return ("output", *(f"{state}_n" for state in spec.cell.states), *((LAST_OUTPUT,) if spec.merges else ()))


def is_output(name: str) -> bool:
    """Whether a quantity is one that a module returns; all others are symbols of its cell."""
    return name in ("output", LAST_OUTPUT) or name.endswith("_n")


def output_rank(name: str) -> int:
    """In which order outputs are told: output, h_n, other final states, the last output; 0 for what is no output."""
    return {"output": 1, "h_n": 2, LAST_OUTPUT: 4}.get(name, 3) if is_output(name) else 0


def canonical_names(spec: ModuleSpec, names: Iterable[Name]) -> tuple[str, ...]:
    """Outputs, gates and states as JSON and messages call them, in the order of computation, outputs first."""
    found = set(names)
    return tuple(word for name, word in of_results(spec).canonical.items() if name in found)


def required(spec: ModuleSpec, words: Collection[str]) -> dict[str, tuple[Name, ...]]:
    """What each word asks for: a symbol alone asks for it in every layer and direction. KeyError for a word without meaning."""
    vocabulary = of_results(spec)
    found: dict[str, tuple[Name, ...]] = {}
    for word in words:
        name = vocabulary[word]
        every = tuple(key for key in vocabulary.canonical if not isinstance(key, str) and key[2].lower() == word.lower())
        if name is None and not every:
            raise KeyError(word)
        found[word] = every if name is None else (name,)
    return found


def _plain(word: str) -> str:
    """Its letters and digits, small."""
    return re.sub(r"[\W_]", "", word.lower())
