"""One worker: this process."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Generic

from attn_audit.evidence.errors import Stopped
from attn_audit.evidence.records import ExecutorName
from attn_audit.executors import Attendant, Call, Ended, Job, Pool, Result, State, Task, Unfinished


class Local:
    """Each job as it is asked for, one after the other."""

    name: ExecutorName = "local"
    here = True

    @contextmanager
    def pool(self, start: Callable[[], State]) -> Iterator[Pool[State]]:
        """Starts here and now."""
        yield _Here(start())


class _Here(Generic[State]):
    workers = 1

    def __init__(self, state: State) -> None:
        self._state = state

    def each(self, function: Callable[[State], Result]) -> tuple[Result, ...]:
        return (function(self._state),)

    def map(
        self, task: Task[State, Job, Result], jobs: Iterable[Job], attendant: Attendant[Job]
    ) -> Iterator[Ended[Job, Result]]:
        for job in jobs:
            attendant.begins(job)
            try:
                yield Ended(job, task(self._state, job, Call(1, partial(_tell, attendant, job))))
            except Stopped:
                yield Ended(job, Unfinished("stopped"))


def _tell(attendant: Attendant[Job], job: Job, done: int, total: int) -> None:
    if attendant.stop_requested():
        raise Stopped("a stop was asked for")
    attendant.progress(job, done, total)
