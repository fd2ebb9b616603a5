"""Many hand-ins on the workers of a Dask cluster, which see the same files; extra `dask`."""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import islice
from typing import Any, TypeVar

from rnntrace.course.pool import Ended, Limits, limited
from rnntrace.errors import UsageError, show
from rnntrace.model.extras import optional

Job = TypeVar("Job")
PATIENCE = 30.0
"""Seconds in which a scheduler answers."""
AT_A_TIME = 4
"""So many jobs wait at each thread of a worker: enough to keep it busy, few enough that an interrupt ends soon."""


def in_cluster(
    function: Callable[[Job], Any], jobs: Iterable[Job], *, address: str, limits: Limits
) -> Iterator[tuple[Job, Ended]]:
    """Each job with what came of it, as `pool.in_processes` gives it; one whose worker is lost is done again elsewhere.

    Raises UsageError where no scheduler answers at that address.
    """
    distributed = optional("distributed")
    try:
        client = distributed.Client(address, timeout=PATIENCE, set_as_default=False)
    except (OSError, ValueError, TimeoutError) as error:
        raise UsageError(f"`dask={show(address)}` should be the address of a scheduler, and none answers: {error}") from None
    with client, client.as_current():
        if not (threads := sum(client.nthreads().values())):
            raise UsageError(f"`dask={show(address)}` has no workers yet: start some with `dask worker {show(address)}`")
        left = iter(jobs)
        submit = partial(client.submit, limited, function, limits=limits, pure=False)
        futures = {submit(job): job for job in islice(left, AT_A_TIME * threads)}
        done = distributed.as_completed(list(futures))
        for future in done:
            job = futures.pop(future)
            yield job, future.result()
            if (following := next(left, None)) is not None:
                again = submit(following)
                futures[again] = following
                done.add(again)
