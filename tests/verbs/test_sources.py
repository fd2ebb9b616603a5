"""From flags, files and typed JSON to the signals asked for; flags that contradict one another or what is given."""

from typing import Any

import numpy as np
import pytest

from rnntrace.cli.syntax import lengths_in
from rnntrace.errors import RnnTraceError, SignalError, UsageError
from rnntrace.verbs.given.sources import read_sources


def test_nothing_given_is_four_steps_of_one_item() -> None:
    """The defaults of the command line."""
    request = read_sources().request
    assert (request.steps, request.batch, request.unbatched, request.x) == (4, 1, False, None)
    assert (request.h0, request.c0, request.lengths) == ("zeros", "zeros", None)


def test_an_object_of_json_gives_all_four() -> None:
    """The keys x, h0, c0 and lengths are taken for the signals of those names."""
    text = '{"x": [[[1], [2]], [[3], [4]]], "h0": [[[5], [6]]], "c0": [[[7], [8]]], "lengths": [2, 1], "note": [0]}'
    request = read_sources(input=text).request
    assert request.x is not None
    assert not isinstance(request.h0, str)
    assert not isinstance(request.c0, str)
    assert request.x.tolist() == [[[1.0], [2.0]], [[3.0], [4.0]]]
    assert (request.h0.tolist(), request.c0.tolist()) == ([[[5.0], [6.0]]], [[[7.0], [8.0]]])
    assert request.lengths == (2, 1)


def test_a_flag_goes_before_what_the_input_holds() -> None:
    """--h0 and --lengths replace the states and lengths of the file."""
    request = read_sources(input='{"x": [[[1]]], "h0": [[[5]]], "lengths": [1]}', h0="[[[9]]]", lengths=[1]).request
    assert not isinstance(request.h0, str)
    assert request.h0.tolist() == [[[9.0]]]


@pytest.mark.parametrize("text", ["5,3,2", " 5, 3 ,2", "5,+3,2"])
def test_lengths_are_whole_numbers_between_commas(text: str) -> None:
    """Blanks do not matter."""
    assert lengths_in(text) == [5, 3, 2]


@pytest.mark.parametrize("text", ["", "a", "5,,2", "5 3", "2.5", "nan", "5,", "5;3", "1e3"])
def test_other_lengths_are_refused(text: str) -> None:
    """The message shows what lengths look like and what was found."""
    with pytest.raises(UsageError) as caught:
        lengths_in(text)
    assert "5,3,2" in str(caught.value)
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize("lengths", ["[1.5]", '["nan"]', '["inf"]', "[1e999]", '["-inf"]', "[[1]]", "[[1, 1]]"])
def test_lengths_in_a_file_are_whole_numbers_too(lengths: str) -> None:
    """Fractions, NaN, infinity and tables are refused with what lengths should be."""
    with pytest.raises(SignalError, match=r"whole numbers, one for each item of the batch, not \["):
        read_sources(input='{"x": [[[1]]], "lengths": ' + lengths + "}")


CONTRADICTIONS = [
    ({"input": "[[[1, 2]]]", "text": ["a"]}, ("`input`", "`text`", "leave one of them out")),
    ({"alphabet": "abc"}, ("`alphabet`", "`text`", "leave it out")),
    ({"input": "[[[1, 2]]]", "steps": 3}, ("`steps=3`", "it is 1", "leave `steps` out")),
    ({"input": "[[[1, 2]]]", "batch": 2}, ("`batch=2`", "it is 1", "leave `batch` out")),
    ({"input": "[[[1], [2]]]", "batch_first": True, "steps": 1}, ("`steps=1`", "it is 2")),
    ({"input": "[[1, 2], [3, 4]]", "steps": 1}, ("`steps=1`", "it is 2")),
    ({"input": "[[1, 2], [3, 4]]", "batch": 2}, ("`batch=2`", "it is 1")),
    ({"input": "[[[1, 2]]]", "unbatched": True}, ("`unbatched`", "(time, input)", "(1, 1, 2)", "leave it out")),
    ({"text": ["hello"], "steps": 4}, ("`steps=4`", "it is 5")),
    ({"text": ["ab", "cd"], "batch_first": True, "batch": 3}, ("`batch=3`", "it is 2")),
    ({"unbatched": True, "batch": 2}, ("`unbatched`", "`batch=2`", "leave one of them out")),
]


@pytest.mark.parametrize(("options", "fragments"), CONTRADICTIONS, ids=[str(options) for options, _ in CONTRADICTIONS])
def test_flags_that_contradict_one_another_are_refused(options: dict[str, Any], fragments: tuple[str, ...]) -> None:
    """No flag is silently ignored: the message names both sides and what to leave out."""
    with pytest.raises(RnnTraceError) as caught:
        read_sources(**options)
    assert [fragment for fragment in fragments if fragment not in str(caught.value)] == [], str(caught.value)


@pytest.mark.parametrize(
    ("shape", "options", "warned"),
    [
        ((2, 5, 3), {}, True),
        ((2, 5, 3), {"batch_first": True}, False),
        ((5, 2, 3), {}, False),
        ((1, 5, 3), {}, False),
        ((5, 5, 3), {}, False),
        ((2, 5), {}, False),
    ],
)
def test_a_short_time_axis_before_a_long_batch_is_warned_of(
    shape: tuple[int, ...], options: dict[str, bool], warned: bool
) -> None:
    """More items than steps, time first, may be (batch, time, input): the warning says what was taken for what."""
    sources = read_sources(input=str(np.zeros(shape).tolist()), **options)
    assert len(sources.warnings) == warned
    if warned:
        (warning,) = sources.warnings
        assert str(shape) in warning
        assert "axis 0 (2) was taken for time and axis 1 (5) for the batch" in warning
        assert "`batch_first`" in warning
