"""Long runs that are saved, in processes of their own: time, the most memory they held, and how the file is read again."""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

STEPS, UNITS = 1_000_000, 64
MOST_MB = 1024
"""What was aimed at: every command in less memory than this."""

MEASURED = """
import json, resource, subprocess, sys
done = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps([done.returncode, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024]))
"""


@dataclass(frozen=True)
class LongRun:
    """A command, its seconds of CPU time and by the clock, the most memory it held, and the file that it wrote or read."""

    command: str
    cpu_s: float
    wall_s: float
    peak_mb: float
    file_mb: float


def runs(steps: int = STEPS) -> list[LongRun]:
    """Each kind is run, shown, drawn and compared with itself; a first line says what importing torch takes."""
    found = []
    with tempfile.TemporaryDirectory() as name:
        file, picture = Path(name) / "t.npz", Path(name) / "t.png"
        found.append(_measured("import torch", [sys.executable, "-c", "import torch"], file))
        size = f"-i {UNITS} -H {UNITS} -T {steps}"
        for run in (f"run lstm {size}", f"run lstm {size} --keep states", f"run gru {size}", f"run rnn {size}"):
            found.append(_rnntrace(f"{run} --save", file, f"{run} --seed 1 --quiet --save {file}"))
            if run.startswith("run lstm") and "--keep" not in run:
                found.append(_rnntrace("show", file, f"show {file}"))
                found.append(_rnntrace("show --time … --format csv", file, f"show {file} --time {steps // 2}: --unit 0 -f csv"))
                found.append(_rnntrace("plot", file, f"plot {file} --output {picture}"))
                found.append(_rnntrace("compare with itself", file, f"compare {file} {file} --quiet"))
    return found


def _rnntrace(name: str, file: Path, line: str) -> LongRun:
    return _measured(name, [sys.executable, "-m", "rnntrace", *line.split()], file)


def _measured(name: str, command: Sequence[str], file: Path) -> LongRun:
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", MEASURED, *command], check=True, capture_output=True, text=True)
    wall = time.perf_counter() - start
    code, cpu, peak = json.loads(done.stdout)
    if code:
        raise SystemExit(f"{name}: exit code {code}: {done.stderr}")
    return LongRun(name, cpu, wall, peak, file.stat().st_size / 1e6 if file.exists() else 0.0)


def table(found: Sequence[LongRun]) -> str:
    """The runs in Markdown."""
    lines = ["| command | CPU, s | clock, s | peak, MiB | file, MB |", "|---|---|---|---|---|"]
    for run in found:
        lines.append(f"| `{run.command}` | {run.cpu_s:.1f} | {run.wall_s:.1f} | {run.peak_mb:.0f} | {run.file_mb:.0f} |")
    return "\n".join(lines)
