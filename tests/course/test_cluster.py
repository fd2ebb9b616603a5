"""Grading on a Dask cluster: the same grades, one hostile file a time-out, and a line where no scheduler answers."""

from pathlib import Path

import pytest
from classes import Solver, exercise_in, save
from commandline import refused

from rnntrace.course.grade import grade
from rnntrace.course.grades import Status

distributed = pytest.importorskip("distributed")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_on_a_local_cluster(tmp_path: Path) -> None:
    """Two workers in processes of their own; a hand-in that takes all its time costs nobody else's points."""
    path = exercise_in(tmp_path)
    ids = [f"s{number}" for number in range(20)]
    for number, id in enumerate(ids):
        right = Solver(path, id).right()
        save(tmp_path / "h" / f"{id}.npz", {"output": right["output"] + 0.1 * (number % 2), "c_n": right["c_n"]})
    (tmp_path / "h" / "zzz.npz").write_bytes(b"no")
    here = grade(path, tmp_path / "h")
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        there = grade(path, tmp_path / "h", dask=cluster.scheduler_address)
        late = grade(path, tmp_path / "h", dask=cluster.scheduler_address, timeout=1e-3)
    assert list(there) == list(here)
    assert [one.score for one in here][:2] == [8, 2]
    assert {one.status for one in late} == {Status.TIMEOUT}


@pytest.mark.slow
def test_no_scheduler(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """One line says what was expected."""
    monkeypatch.setattr("rnntrace.course.cluster.PATIENCE", 0.5)
    path = exercise_in(tmp_path)
    save(tmp_path / "h" / "ada.npz", Solver(path, "ada").right())
    line = refused(capsys, "grade", path, tmp_path / "h", "--dask", "tcp://127.0.0.1:9")
    assert "the address of a scheduler, and none answers" in line
