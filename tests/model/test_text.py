"""Text as one-hot vectors: what is encoded, how several texts are laid out, and what is refused."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from strategies import examples

from rnntrace.cli.app import exit_code
from rnntrace.cli.syntax import split_texts
from rnntrace.errors import SignalError, UsageError
from rnntrace.model.text import one_hot
from rnntrace.verbs.given.sources import read_sources

TEXTS = st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=4)


@given(TEXTS)
@examples(100)
def test_a_text_can_be_read_back(texts: list[str]) -> None:
    """The position of the one in each vector is the letter; behind a shorter text there are zeros."""
    encoded, lengths = one_hot(texts)
    letters = sorted(set("".join(texts)))
    assert encoded.dtype == np.float32
    assert encoded.shape == (len(texts), max(map(len, texts)), len(letters))
    assert lengths == tuple(map(len, texts))
    for text, vectors in zip(texts, encoded, strict=True):
        assert "".join(letters[position] for position in vectors[: len(text)].argmax(axis=1)) == text
        assert np.array_equal(vectors.sum(axis=1), [1.0] * len(text) + [0.0] * (len(vectors) - len(text)))
        assert set(vectors.ravel()) <= {0.0, 1.0}


def test_it_is_torchs_one_hot() -> None:
    """The vectors of hello over its sorted alphabet are those that torch.nn.functional.one_hot makes."""
    encoded, _ = one_hot(["hello"])
    expected = torch.nn.functional.one_hot(torch.tensor(["ehlo".index(letter) for letter in "hello"]))
    assert np.array_equal(encoded[0], expected.numpy())


def test_an_alphabet_sets_the_order_and_the_width() -> None:
    """Letters stand where the alphabet has them, those that do not occur included."""
    encoded, _ = one_hot(["ab"], alphabet="zbay")
    assert encoded.tolist() == [[[0, 0, 1, 0], [0, 1, 0, 0]]]


def test_letters_are_characters_and_not_bytes() -> None:
    """An umlaut, an emoji and a control character are one letter each."""
    assert one_hot(["ü🙂\n"])[0].shape == (1, 3, 3)


@pytest.mark.parametrize(
    ("texts", "alphabet", "fragments"),
    [
        (["hello"], "helx", ("'hello'", "'o'", "'helx'")),
        (["hello", "world"], "helo", ("'world'", "'w'", "'helo'")),
        (["hello"], "", ("'h'", "''")),
        (["aa"], "aba", ("'aba'", "repeats 'a'")),
        ([""], None, ("at least one character", "empty")),
        (["a", ""], None, ("at least one character", "empty")),
        (["", ""], "ab", ("at least one character", "empty")),
        (["\x1b[31m"], "ab", ("'\\x1b[31m'", "'\\x1b'", "'ab'")),
    ],
)
def test_what_cannot_be_encoded_is_refused(texts: list[str], alphabet: str | None, fragments: tuple[str, ...]) -> None:
    """The message names the text, the letter and the alphabet, in printable characters."""
    with pytest.raises(SignalError) as caught:
        one_hot(texts, alphabet)
    assert [fragment for fragment in fragments if fragment not in str(caught.value)] == []
    assert str(caught.value).isprintable()


def test_one_text_is_laid_out_as_the_module_wants_it() -> None:
    """Time first, batch first and unbatched are the same vectors on other axes, and the input size is the alphabet's."""
    vectors = one_hot(["hello"])[0][0]
    layouts = {
        "time first": (read_sources(text=["hello"]), vectors[:, None]),
        "batch first": (read_sources(text=["hello"], batch_first=True), vectors[None]),
        "unbatched": (read_sources(text=["hello"], unbatched=True), vectors),
    }
    for name, (sources, expected) in layouts.items():
        assert np.array_equal(sources.request.x, expected), name
        assert sources.input_size == 4, name
        assert sources.request.lengths is None, name


@pytest.mark.parametrize("texts", [["ab,ba"], ["ab", "ba"]])
def test_texts_stand_between_commas_or_in_flags_of_their_own(texts: list[str]) -> None:
    """Both ways of giving several texts are the same."""
    found = read_sources(text=split_texts(texts, None), batch_first=True).request.x
    assert found is not None
    assert np.array_equal(found, one_hot(["ab", "ba"])[0])


def test_a_comma_in_the_alphabet_is_a_letter() -> None:
    """A text is not split at commas when the alphabet has one."""
    found = read_sources(text=split_texts(["a,b"], "ab,"), alphabet="ab,", batch_first=True).request.x
    assert found is not None
    assert found.tolist() == [[[1, 0, 0], [0, 0, 1], [0, 1, 0]]]


def test_texts_of_different_lengths_are_packed() -> None:
    """Batch first, each text is a sequence of its own length."""
    request = read_sources(text=["abc", "a", "ab"], batch_first=True).request
    assert request.lengths == (3, 1, 2)


def test_texts_of_the_same_length_are_not_packed() -> None:
    """Where every text has every step there is nothing to pack."""
    assert read_sources(text=["ab", "ba"], batch_first=True).request.lengths is None


def test_texts_of_different_lengths_need_batch_first() -> None:
    """Time first the axes would not be the texts, and the message says which flag makes them so."""
    with pytest.raises(SignalError, match="`batch_first`"):
        read_sources(text=["abc", "a"])


def test_several_texts_time_first_are_warned_of() -> None:
    """They are left as written, texts first, and the warning says what a module then takes them for."""
    sources = read_sources(text=["abc", "bca"])
    assert sources.request.x is not None
    assert sources.request.x.shape == (2, 3, 3)
    (warning,) = sources.warnings
    assert "2 texts of 3 characters" in warning
    assert "`batch_first`" in warning
    assert read_sources(text=["abc", "bca"], batch_first=True).warnings == ()
    assert read_sources(text=["abc"]).warnings == ()


def test_unbatched_takes_one_text() -> None:
    """Several texts are a batch, and the message says how many there are."""
    with pytest.raises(UsageError, match="one text, and there are 2"):
        read_sources(text=["ab", "cd"], unbatched=True)


def test_a_run_on_text_takes_its_sizes_from_it(capsys: pytest.CaptureFixture[str]) -> None:
    """T is the number of letters and the input size that of the alphabet, without any flag."""
    assert exit_code(["run", "rnn", "--text", "hello", "--seed", "1", "--format", "json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["spec"]["input_size"] == 4
    assert np.array(answer["inputs"]["x"]).argmax(axis=-1).tolist() == [[1], [0], [2], [2], [3]]


def test_a_run_on_texts_of_different_lengths_knows_their_ends(capsys: pytest.CaptureFixture[str]) -> None:
    """Steps behind the end of a shorter text are null in the answer and zero in the output."""
    assert exit_code(["run", "gru", "--text", "abc,a", "--batch-first", "--seed", "1", "--format", "json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["inputs"]["lengths"] == [3, 1]
    h = next(quantity["values"] for quantity in answer["trace"] if quantity["symbol"] == "h")
    assert [[step[item][0] is None for step in h] for item in (0, 1)] == [[False] * 3, [False, True, True]]
    assert answer["outputs"]["output"][1][1:] == [[0.0, 0.0], [0.0, 0.0]]
