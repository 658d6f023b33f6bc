"""Where the work runs. An executor starts workers, each once, and has them do jobs; it knows nothing of audits.

``local``: one worker, this process. ``ray``: actors of a Ray cluster. Another executor is one more file here that does
what ``Executor`` and ``Pool`` say, and its name in ``evidence/records.py`` and ``cli/executor.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Generic, Literal, Protocol, TypeVar

from attn_audit.evidence.records import ExecutorName

State = TypeVar("State")
Job = TypeVar("Job")
Result = TypeVar("Result")
State_co = TypeVar("State_co", covariant=True)
Job_contra = TypeVar("Job_contra", contravariant=True)


@dataclass(frozen=True)
class Call:
    """What a task is told beside its job: the how manieth worker begins it, from 1; and whom to tell how far it is,
    with what is done and what is to be done. ``tell`` may raise Stopped, which the task must let pass."""

    attempt: int
    tell: Callable[[int, int], None]


@dataclass(frozen=True)
class Unfinished:
    """Why there is no result: a stop was asked for, or each worker that began the job died."""

    why: Literal["stopped", "lost"]
    reason: str = ""


@dataclass(frozen=True)
class Ended(Generic[Job, Result]):
    """A job that is no longer worked at."""

    job: Job
    result: Result | Unfinished


Task = Callable[[State, Job, Call], Result]  # a function of a module, or partial of one, where it has to travel


class Attendant(Protocol[Job_contra]):
    """Whom a pool tells what becomes of its jobs, and asks, at least once a second, whether to stop."""

    def stop_requested(self) -> bool: ...

    def begins(self, job: Job_contra, /) -> None: ...

    def progress(self, job: Job_contra, done: int, total: int, /) -> None: ...


class Pool(Protocol[State_co]):
    """Workers that have started."""

    @property
    def workers(self) -> int:
        """How many jobs are done at the same time."""

    def each(self, function: Callable[[State_co], Result]) -> tuple[Result, ...]:
        """The function of every worker's state. Raises what it raises."""

    def map(
        self, task: Task[State_co, Job, Result], jobs: Iterable[Job], attendant: Attendant[Job]
    ) -> Iterator[Ended[Job, Result]]:
        """Every job once, as they end: a result that waited for its turn would be lost with this process. Jobs are
        begun in their order. What a task raises is raised; Incomplete when no worker is left."""


class Executor(Protocol):
    """Starts workers."""

    @property
    def name(self) -> ExecutorName:
        """As the command line and the evidence name it."""

    @property
    def here(self) -> bool:
        """Whether the one worker is this process, so that what it is given need not travel."""

    def pool(self, start: Callable[[], State]) -> AbstractContextManager[Pool[State]]:
        """Workers, each with the state that ``start`` makes there; they end with the context. Raises UsageError where
        ``start`` does, or where no worker can be had."""
