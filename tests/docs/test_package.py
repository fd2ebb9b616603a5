"""What is built to be installed: the right files, and a command that works from them alone."""

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import rnntrace
from rnntrace.version import __version__

ROOT = Path(__file__).parents[2]
PACKAGE = Path(rnntrace.__file__).parent

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a wheel and a source distribution."""
    where = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-d", str(where)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return where


def test_the_wheel_holds_the_package_and_nothing_else(built: Path) -> None:
    """Every file of it, the marker of its types and the licence among them; no tests and no docs."""
    (wheel,) = built.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    information = f"rnntrace-{__version__}.dist-info/"
    here = {path.relative_to(PACKAGE.parent).as_posix() for path in PACKAGE.rglob("*") if path.is_file()}
    assert {name for name in names if not name.startswith(information)} == {name for name in here if not name.endswith(".pyc")}
    assert {"rnntrace/py.typed", f"{information}licenses/LICENSE", f"{information}METADATA"} <= names


def test_the_source_distribution_can_be_tested(built: Path) -> None:
    """With tests, docs and the tested versions, and without what a checkout leaves lying about."""
    (source,) = built.glob("*.tar.gz")
    with tarfile.open(source) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"README.md", "LICENSE", "constraints.txt", "Makefile", "tests/commandline.py", "docs/architecture.md"} <= names
    assert not [name for name in names if name.startswith((".venv", "build/")) or name.endswith(".pyc")]


def test_it_runs_from_the_wheel_alone(built: Path, tmp_path: Path) -> None:
    """Unpacked, which is all that installing a wheel of Python does, and called where no checkout is."""
    (wheel,) = built.glob("*.whl")
    target = tmp_path / "installed"
    zipfile.ZipFile(wheel).extractall(target)
    environment = {**os.environ, "PYTHONPATH": str(target)}

    def said(*arguments: str) -> str:
        command = [sys.executable, *arguments]
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True).stdout

    assert Path(said("-c", "import rnntrace; print(rnntrace.__file__)").strip()).is_relative_to(target)
    assert said("-m", "rnntrace", "run", "lstm", "--seed", "1", "-q").startswith("PASS")
