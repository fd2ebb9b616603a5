"""Hostile hand-ins in a class: each costs its time-out and no more, and everybody else's points are as without them."""

import sys
from pathlib import Path

import pytest
from classes import Solver, exercise_in, save
from hostile_corpus import FILES
from thorough import some

from rnntrace.course.grade import grade
from rnntrace.course.grades import Status


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="limits of memory are Linux's")
def test_everybody_else_is_graded(tmp_path: Path) -> None:
    """The corpus, or a quarter of it, beside three right ones."""
    path = exercise_in(tmp_path)
    folder = tmp_path / "h"
    for id in ("ada", "bob", "cleo"):
        save(folder / f"{id}.npz", Solver(path, id).right())
    hostile = some(FILES, 4)
    for number, name in enumerate(hostile):
        place = folder / f"evil{number}"
        place.mkdir()
        (place / name).write_bytes(FILES[name].content())
    found = grade(path, folder, timeout=5, max_memory="1GiB", explain=False)
    assert len(found) == 3 + len(hostile)
    assert [found[id].score for id in ("ada", "bob", "cleo")] == [8, 8, 8]
    assert all(one.score == 0 for one in found if one.id.startswith("evil"))
    assert {one.status for one in found} <= {Status.GRADED, Status.UNREADABLE, Status.TIMEOUT}
    assert all(one.feedback.isprintable() or "\n" in one.feedback for one in found)
