"""Files damaged at random, and names drawn at random: read, or refused in one printable line."""

import json
from pathlib import Path

import numpy as np
import pytest
from commandline import ESCAPED, EVIL, LONGEST_LINE, ask, refused
from formats import NAMED, lstm, parameters
from hostile_arrays import ONE
from hostile_hdf5 import h5, keras
from hostile_onnx import model
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from strategies import examples

import rnntrace
from rnntrace.errors import FileError, RnnTraceError, WeightsError
from rnntrace.files import map_tensors, npz, onnx_long, read_tensors, safetensors
from rnntrace.verbs.given.sources import read_sources

pytestmark = pytest.mark.usefixtures("folder")

# --- damage of every kind ---------------------------------------------------------------------------------------------


def sound(how: str) -> bytes:
    """A file that is in order."""
    if how == "npy":
        return ONE
    others = {"csv": lambda: b"a,b,c\n1,2,3\n4,5,6\n", "h5": h5, "keras": keras, "onnx": model}
    return others[how]() if how in others else NAMED[how](parameters(lstm()))


@pytest.fixture
def all_mapped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of what can stay in a file nothing is so short that it is read."""
    for reader in (npz, safetensors, onnx_long):
        monkeypatch.setattr(reader, "SHORT", 1)


def used(path: Path) -> None:
    """Look at every number of a file that is mapped."""
    for array in map_tensors(path).arrays.values():
        array.tobytes()


@pytest.mark.slow
@pytest.mark.usefixtures("all_mapped")
@pytest.mark.parametrize("how", ["npy", "npz", "compressed npz", "pt", "old pt", "safetensors", "h5", "keras"])
def test_no_part_of_a_file_is_taken_for_the_whole(how: str) -> None:
    """Cut off anywhere, a binary file is refused, to be read or to be mapped."""
    whole = sound(how)
    for size in sorted({*range(0, len(whole), max(1, len(whole) // 60)), 1, 7, 8, 9, len(whole) - 1}):
        Path("part").write_bytes(whole[:size])
        for look in (read_tensors, used):
            with pytest.raises(FileError) as caught:
                look(Path("part"))
            assert str(caught.value).isprintable(), size


EDITS = st.lists(
    st.tuples(st.sampled_from(["set", "insert", "delete", "cut"]), st.floats(0, 1), st.binary(min_size=1, max_size=4)),
    min_size=1,
    max_size=3,
)


EVERY = ["npy", "npz", "compressed npz", "pt", "old pt", "safetensors", "h5", "keras", "onnx", "json", "csv"]


@pytest.mark.slow
@pytest.mark.usefixtures("all_mapped")
@pytest.mark.parametrize("how", EVERY)
def test_damage_anywhere_is_survived(how: str) -> None:
    """Bytes changed, put in, taken out or cut off: the file is read or refused in one printable line, never a traceback."""
    whole = sound(how)

    @given(EDITS)
    @settings(examples(150), report_multiple_bugs=False)
    def damaged(edits: list[tuple[str, float, bytes]]) -> None:
        content = bytearray(whole)
        for edit, place, data in edits:
            at = int(place * len(content))
            if edit == "set":
                content[at : at + len(data)] = data
            elif edit == "insert":
                content[at:at] = data
            elif edit == "delete":
                del content[at : at + len(data)]
            else:
                del content[at:]
        Path("damaged").write_bytes(content)
        for look in (rnntrace.load, used):
            said = ""
            try:
                look(Path("damaged"))
            except (FileError, WeightsError) as error:
                said = str(error)
            assert said.isprintable()
            assert len(said) <= LONGEST_LINE

    damaged()


# --- names ------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("how", NAMED)
def test_names_reach_the_terminal_without_their_controls(how: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Wherever a name from a file is repeated, control codes and changes of direction are escapes."""
    Path("named").write_bytes(NAMED[how]({f"{EVIL}.{name}": array for name, array in parameters(lstm()).items()}))
    for arguments in (("--weights", "named", "-H", "5"), ("--input", "named"), ("--h0", "named")):
        assert ESCAPED in refused(capsys, "run", "lstm", *arguments)
    answer = ask(capsys, "run", "lstm", "--weights", "named", "--seed", "1")
    assert answer.code == 0
    assert answer.out.replace("\n", "").isprintable()


@given(st.dictionaries(st.text(), st.just([1.0]), min_size=2, max_size=3), st.sampled_from(["json", "pt", "safetensors"]))
@examples(60)
def test_any_name_is_made_fit_to_print(content: dict[str, list[float]], how: str) -> None:
    """Whatever tensors are called, what is said about them is printable."""
    assume("__metadata__" not in content)
    Path("named").write_bytes(NAMED[how]({name: np.array(values) for name, values in content.items()}))
    try:
        said = read_sources(input="named").warnings
    except RnnTraceError as error:
        said = (str(error),)
    assert all(line.isprintable() for line in said)
    # Of two names one at least is no signal's, and that is said.
    assert said


@given(st.text(min_size=1))
@examples(60)
def test_any_name_of_an_array_at_fault_is_made_fit_to_print(name: str) -> None:
    """The same where the array itself is ragged, in a file and typed in, and where it holds no numbers."""
    text = json.dumps({name: [[1, 2], [3]]})
    Path("ragged.json").write_text(text)
    with Path("words.npz").open("wb") as file:
        np.savez(file, **{name.replace("\0", "").replace("/", "") + ".": np.array(["a"])})
    for source in ("ragged.json", text, "words.npz"):
        with pytest.raises(FileError) as caught:
            read_sources(input=source)
        assert str(caught.value).isprintable()


def test_a_file_name_reaches_the_terminal_without_its_controls(capsys: pytest.CaptureFixture[str]) -> None:
    """In errors, in the headline of the table and in the JSON answer."""
    name = f"{EVIL}.csv"
    Path(name).write_text("1,2,3\n4,5,6\n")
    for form in ("table", "plain", "json"):
        answer = ask(capsys, "run", "lstm", "--input", name, "--seed", "1", "--format", form)
        assert answer.code == 0
        assert (answer.out + answer.err).replace("\n", "").isprintable()
    assert f"{ESCAPED}.csv" in refused(capsys, "run", "lstm", "--weights", name)


@pytest.mark.parametrize(("flag", "name"), [("--output", "result.txt"), ("--save", "result.npz")])
def test_the_name_of_an_output_reaches_the_terminal_without_its_controls(
    flag: str, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A name that a script took from elsewhere may hold anything."""
    assert f"missing{ESCAPED}/{name}" in refused(capsys, "run", "rnn", flag, f"missing{EVIL}/{name}")
