"""How much memory a run takes, how much there is, and what to say if that is too little."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from rnntrace.model.limits import in_bytes
from rnntrace.model.spec import ModuleSpec

PROC, CGROUPS = Path("/proc"), Path("/sys/fs/cgroup")
"""Where Linux tells of processes and of the limits of control groups."""
CONTROLLERS = {
    "": ("memory.max", "memory.current", "inactive_file"),
    "memory": ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
}
"""Of version 2 and of version 1 of control groups: the limit, what is used, and what of that is given back on demand."""
STEP = 1_000
"""Bytes that torch's native path takes for a step beside its values: tensors of their own for what it splits and joins."""
LINE = 64
"""Bytes of a line of a cache."""
BOUNDING = 13
"""So many arrays, and two for each gate and state, stand beside one another while bounds on rounding are worked out."""


def free() -> int | None:
    """Bytes of memory that this process can still take; None where nothing can be said.

    What Linux calls MemAvailable (other systems: pages that are free), and no more than limits of control groups and of the
    address space leave.
    """
    bounds = [*_available(), *_in_control_groups(), *_in_address_space()]
    return max(min(bounds), 0) if bounds else None


def needed(spec: ModuleSpec, steps: int, batch: int, *, kept: int, itemsize: int) -> int:
    """About how many bytes a run that holds everything in memory takes at most, beside the libraries themselves.

    `kept` is the number of gates, states and terms that are kept of each layer and direction, `itemsize` the bytes of a value
    of the replay. Without the capture of torch's gates, mistakes, and what a trajectory takes that does not agree: another
    replay, and bounds on rounding. These are counted for half precision, which does not agree without them.
    """
    rows, directions, own = steps * batch, len(spec.directions), spec.precision.replay.itemsize
    output, states = rows * spec.width, len(spec.cell.states)

    def quantities(number: int) -> int:
        """Values of so many gates and states, h among them, of every layer and direction."""
        return rows * len(spec.layer_directions) * ((number - 1) * spec.hidden_size + spec.output_size)

    # Torch: a copy of what a layer reads, the product with W_ih of all steps, h step by step and joined.
    read = max(spec.layer_input_size(layer) for layer in range(min(spec.num_layers, 2)))
    product, tensors = len(spec.cell.gates) * spec.hidden_size, STEP * steps * directions
    if (spec.kind, spec.dtype, spec.proj_size) == ("LSTM", "float32", 0):
        # Its path is oneDNN's, which makes no tensors for steps and works in lines of a cache.
        product, tensors = max(spec.output_size, LINE // own), 0
    call = own * (rows * (read + product) + 2 * output) + tensors
    # Judging: torch's h, a replay of what is kept, its directions joined, a byte for each value compared.
    joined = output if directions > 1 else 0
    judging = own * quantities(1) + itemsize * (quantities(kept) + joined) + quantities(1) + joined
    if spec.dtype != spec.precision.replay.name:
        # The bounds themselves, and what they take to work out for one layer and direction.
        symbols = len(spec.cell.symbols)
        bounds = quantities(symbols) + rows * spec.hidden_size * (BOUNDING + 2 * symbols)
        judging += itemsize * (quantities(states) + joined + bounds)
    return own * rows * spec.input_size + max(call, judging)


def is_short(needed: int, free: int | None) -> bool:
    """Whether more than half of what is free is needed, as far as that is known."""
    return free is not None and 2 * needed > free


def warning(needed: int, free: int | None, needs_all: str = "") -> str:
    """A sentence on what to do where memory is short; `needs_all` is the flag that keeps a run from going in parts."""
    without = f"without {needs_all} " if needs_all else ""
    return (
        f"this run takes about {in_bytes(needed)} of memory, and {in_bytes(free or 0)} are free: {without}`save=TRACE.npz` "
        "works through it in parts, on disk; `keep=states` keeps less; fewer `steps` or a smaller `batch` take less"
    )


def _available() -> Iterator[int]:
    """Bytes that the whole system can still give."""
    for line in _lines(PROC / "meminfo"):
        if line.startswith("MemAvailable:"):
            yield 1024 * int(line.split()[1])
            return
    try:
        yield os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return


def _in_control_groups() -> Iterator[int]:
    """Bytes left in this process' control group and in those above it, as far as they can be seen from here.

    proc(5) and the kernel's cgroup-v2.rst: lines are number:controllers:path. In a container the path may be that of the
    host; the group that is mounted on top is then the container's own.
    """
    for line in _lines(PROC / "self/cgroup"):
        _, controllers, path = line.split(":", 2)
        group = PurePosixPath(path.strip("/"))
        for controller in CONTROLLERS.keys() & set(controllers.split(",")):
            # Version 2 is mounted below the others where both are used.
            for mounted in [CGROUPS / controller] if controller else [CGROUPS, CGROUPS / "unified"]:
                for place in (group, *group.parents):
                    yield from _left(mounted / place, *CONTROLLERS[controller])


def _left(group: Path, limit: str, usage: str, given_back: str) -> Iterator[int]:
    """Bytes left in one control group, if it has a limit; these are the names of its files and of an entry."""
    most, used = _lines(group / limit), _lines(group / usage)
    if most and used and most[0] != "max":
        counts = [line.split()[1] for line in _lines(group / "memory.stat") if line.startswith(f"{given_back} ")]
        yield int(most[0]) - int(used[0]) + sum(map(int, counts))


def _in_address_space() -> Iterator[int]:
    """Bytes left below `ulimit -v`."""
    if sys.platform == "win32":
        return
    import resource

    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit != resource.RLIM_INFINITY:
        taken = sum(int(line.split()[0]) for line in _lines(PROC / "self/statm")) * os.sysconf("SC_PAGE_SIZE")
        yield limit - taken


def _lines(path: Path) -> list[str]:
    """The lines of a file, none where there is no such file to read."""
    try:
        return path.read_text().splitlines()
    except OSError:
        return []
