"""Actors of a Ray cluster. Ray places them, starts one anew where it died, and brings results back. Each has one job at
a time, so that it is known which job a worker died at, and how often.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any, Generic

import ray
from ray.exceptions import RayActorError, RayError, RayTaskError

from attn_audit.evidence.errors import Incomplete, UsageError
from attn_audit.evidence.records import ExecutorName
from attn_audit.executors import Attendant, Ended, Job, Pool, Result, State, Task, Unfinished
from attn_audit.executors.options import RayOptions
from attn_audit.executors.ray_cluster import PLACING, connected, last_line, new_worker, placed, room
from attn_audit.executors.ray_worker import TOLD, Board, NotStarted, StartedAnew

ATTEMPTS = 2  # a job that two workers died at is given up
_POLL = TOLD  # seconds between two looks at what workers tell, and at whether to stop
_LOST = "the worker that measured it died, and so did the one after it: out of memory, or its machine was lost"


class Ray:
    """A cluster that runs already, or one on this machine that ends with the context."""

    name: ExecutorName = "ray"
    here = False

    def __init__(self, options: RayOptions) -> None:
        self._options = options

    @contextmanager
    def pool(self, start: Callable[[], State]) -> Iterator[Pool[State]]:
        """Actors that have started. Raises UsageError where there is no cluster, or no room in it, or ``start`` does;
        Incomplete where a worker dies of it."""
        with connected(self._options.address):
            board = ray.remote(Board).options(num_cpus=0, max_restarts=-1).remote()
            actors = [new_worker(self._options) for _ in range(self._options.workers or room(self._options))]
            try:
                yield _Actors(placed(actors), start, board)
            finally:
                for one in (*actors, board):
                    ray.kill(one)


@dataclass(frozen=True)
class _Todo(Generic[Job]):
    """A job that waits, or is worked at for the ``attempt``-th time. ``number``: its own among all of a pool."""

    number: int
    job: Job
    attempt: int = 1


class _Actors(Generic[State]):
    """Workers with their state. One that dies makes its state anew where Ray finds room for it."""

    def __init__(self, actors: list[Any], start: Callable[[], State], board: Any) -> None:
        self._start, self._board = start, board
        self._idle = deque(actors)
        self._busy: dict[Any, tuple[Any, _Todo[Any]]] = {}  # by what it will give
        self._recovering: dict[Any, Any] = {}
        self._reading, self._looked = board.read.remote(), 0.0
        self._numbers = 0
        self.workers = len(actors)
        self._begin()

    def _begin(self) -> None:
        """All of them make their state. Raises UsageError where one cannot, Incomplete where it dies of it."""
        try:
            ray.get([actor.begin.remote(self._start, self._board) for actor in self._idle])
        except RayTaskError as error:
            if isinstance(error.cause, NotStarted):
                raise UsageError(f"on a worker: {error.cause}") from None
            raise error.cause from error
        except RayError as error:
            raise Incomplete(
                f"a worker died while it started; it may need more memory than it has. Ray says: {last_line(error)}"
            ) from None

    def each(self, function: Callable[[State], Result]) -> tuple[Result, ...]:
        """Of those that live."""
        found = []
        for asked in [actor.apply.remote(function) for actor in self._idle]:
            try:
                found.append(ray.get(asked))
            except RayTaskError as error:
                if not isinstance(error.cause, StartedAnew):
                    raise error.cause from error
            except RayActorError:
                continue
        return tuple(found)

    def map(
        self, task: Task[State, Job, Result], jobs: Iterable[Job], attendant: Attendant[Job]
    ) -> Iterator[Ended[Job, Result]]:
        """As the protocol says; a job is begun anew, once, where a worker died at it."""
        given, waiting = ray.put(task), deque(self._numbered(jobs))
        self._send(given, waiting, attendant)
        while waiting or self._busy:
            ended: list[Ended[Job, Result]] = []
            for one in self._next():
                ended += self._landed(one, waiting)
            self._send(given, waiting, attendant)  # first, so that workers work while the results are taken care of
            yield from ended
            self._look(attendant)
            if attendant.stop_requested():
                yield from self._stopped(waiting)

    def _numbered(self, jobs: Iterable[Job]) -> Iterator[_Todo[Job]]:
        for job in jobs:
            self._numbers += 1
            yield _Todo(self._numbers, job)

    def _send(self, task: Any, waiting: deque[_Todo[Any]], attendant: Attendant[Any]) -> None:
        while self._idle and waiting:
            actor, todo = self._idle.popleft(), waiting.popleft()
            attendant.begins(todo.job)
            self._busy[actor.work.remote(task, todo.number, todo.job, todo.attempt)] = actor, todo

    def _next(self) -> list[Any]:
        """What has come, after at most a moment. Raises Incomplete where nothing can come any more."""
        if not self._busy and not self._recovering:
            raise Incomplete("no worker is left in the Ray cluster; what is finished is kept: go on with --resume")
        patience = _POLL if self._busy else PLACING
        ready, _ = ray.wait([*self._busy, *self._recovering], num_returns=1, timeout=patience)
        if not ready and not self._busy:
            raise Incomplete(
                "the Ray cluster finds no room for its workers any more; what is finished is kept: go on with --resume"
            )
        return ready

    def _landed(self, one: Any, waiting: deque[_Todo[Any]]) -> Iterator[Ended[Any, Any]]:
        """The job that has ended, if one has. Its worker is idle, or makes its state anew; one that cannot is given up:
        Ray may have started it where the model is not."""
        if one in self._recovering:
            actor = self._recovering.pop(one)
            with suppress(RayError, NotStarted):
                ray.get(one)
                self._idle.append(actor)
            return
        actor, todo = self._busy.pop(one)
        try:
            result = ray.get(one)
        except RayTaskError as error:
            if not isinstance(error.cause, StartedAnew):
                raise error.cause from error
            waiting.appendleft(todo)
            self._recover(actor)
        except RayError:
            self._recover(actor)
            if todo.attempt < ATTEMPTS:
                waiting.appendleft(replace(todo, attempt=todo.attempt + 1))
            else:
                yield Ended(todo.job, Unfinished("lost", _LOST))
        else:
            self._idle.append(actor)
            yield Ended(todo.job, result)

    def _recover(self, actor: Any) -> None:
        self._recovering[actor.begin.remote(self._start, self._board)] = actor

    def _look(self, attendant: Attendant[Any]) -> None:
        """Pass on what workers have told."""
        if time.monotonic() - self._looked < _POLL or not ray.wait([self._reading], timeout=0)[0]:
            return
        self._looked = time.monotonic()
        at_work = {todo.number: todo.job for _, todo in self._busy.values()}
        with suppress(RayError):  # the board died with its machine, and Ray makes a new one
            for number, (done, total) in ray.get(self._reading).items():
                if number in at_work:
                    attendant.progress(at_work[number], done, total)
        self._reading = self._board.read.remote()

    def _stopped(self, waiting: deque[_Todo[Any]]) -> Iterator[Ended[Any, Any]]:
        """Workers cannot be told to stop in the middle of a job: those that have one end with it."""
        for actor, todo in self._busy.values():
            ray.kill(actor)
            yield Ended(todo.job, Unfinished("stopped"))
        yield from (Ended(todo.job, Unfinished("stopped")) for todo in waiting)
        self._busy.clear()
        waiting.clear()
