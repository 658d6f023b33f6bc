"""Actors of a Ray cluster. Ray places them, starts one anew where it died, and brings results back. Each has one job at
a time, so that it is known which job a worker died at, and how often.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Generic

import ray
from ray.exceptions import RayActorError, RayError, RayTaskError

from attn_audit.evidence.errors import AuditError, Incomplete, UsageError
from attn_audit.evidence.records import ExecutorName
from attn_audit.executors import Attendant, Call, Ended, Job, Pool, Result, State, Task, Unfinished
from attn_audit.executors.options import RayOptions

ATTEMPTS = 2  # a job that two workers died at is given up
_PLACING = 300.0  # seconds that Ray has to find room for the workers, or once more for those that died
_ANSWER = 10.0  # seconds that a cluster has to answer
_POLL = 0.5  # seconds between two looks at what workers tell, and at whether to stop
_LOST = "the worker that measured it died, and so did the one after it: out of memory, or its machine was lost"
_ENVIRONMENT = {
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1",  # a worker sees only those GPUs that were asked for
    "RAY_USAGE_STATS_ENABLED": "0",  # nobody is told
}


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
        with _connected(self._options.address):
            board = ray.remote(_Board).options(num_cpus=0, max_restarts=-1).remote()
            actors = [_actor(self._options) for _ in range(self._options.workers or _room(self._options))]
            try:
                yield _Actors(_placed(actors), start, board)
            finally:
                for one in (*actors, board):
                    ray.kill(one)


# -- in the workers -----------------------------------------------------------------------------------------------


class _NotStarted(Exception):
    """The worker cannot make its state, for this reason."""


class _StartedAnew(Exception):
    """The worker has died since, and has no state yet."""


class _Worker(Generic[State]):
    """Makes its state when it is told to; after its death, when Ray has started it anew, once more."""

    def __init__(self) -> None:
        self._state: State | None = None
        self._board: Any = None
        self._told = 0.0

    def placed(self) -> None:
        """It has found room."""

    def begin(self, start: Callable[[], State], board: Any) -> None:
        """Make the state. Raises _NotStarted."""
        self._board = board
        try:
            self._state = start()
        except AuditError as error:
            raise _NotStarted(str(error)) from None

    def apply(self, function: Callable[[State], Result]) -> Result:
        """Raises _StartedAnew."""
        return function(self._ready())

    def work(self, task: Task[State, Job, Result], number: int, job: Job, attempt: int) -> Result:
        """Raises _StartedAnew, and what the task raises."""
        return task(self._ready(), job, Call(attempt, partial(self._tell, number)))

    def _ready(self) -> State:
        if self._state is None:
            raise _StartedAnew
        return self._state

    def _tell(self, number: int, done: int, total: int) -> None:
        """Not more often than the other side looks."""
        if time.monotonic() - self._told > _POLL:
            self._told = time.monotonic()
            self._board.tell.remote(number, done, total)


class _Board:
    """Where workers leave how far they are."""

    def __init__(self) -> None:
        self._latest: dict[int, tuple[int, int]] = {}

    def tell(self, number: int, done: int, total: int) -> None:
        self._latest[number] = done, total

    def read(self) -> dict[int, tuple[int, int]]:
        """The latest of each job since the last time."""
        latest, self._latest = self._latest, {}
        return latest


# -- the cluster --------------------------------------------------------------------------------------------------


@contextmanager
def _connected(address: str | None) -> Iterator[None]:
    if ray.is_initialized():  # by a program that uses this package
        yield
        return
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    where = "on this machine" if address is None else f"at {address}"
    try:
        _require_answer(address or os.environ.get("RAY_ADDRESS", ""))
        with _own_signals():
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        raise UsageError(f"there is no Ray cluster {where}: {_first_line(error)}") from None
    try:
        yield
    finally:
        ray.shutdown()


def _require_answer(address: str) -> None:
    """Ray itself would try for minutes. Raises OSError where nothing listens at host:port."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if host and port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), _ANSWER).close()


@contextmanager
def _own_signals() -> Iterator[None]:
    """Ray would end the process on SIGTERM, in the middle of whatever is being written."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)


def _room(options: RayOptions) -> int:
    """How many workers the cluster has room for now, at least one: where others use it, some may still have to wait."""
    free: dict[str, float] = ray.available_resources()  # type: ignore[no-untyped-call]
    asked = {"CPU": options.cpus, "GPU": options.gpus, "memory": (options.memory or 0) * 1e9}
    return max(1, int(min(free.get(name, 0.0) // amount for name, amount in asked.items() if amount)))


def _actor(options: RayOptions) -> Any:
    memory = {} if options.memory is None else {"memory": options.memory * 1e9}
    asked = {"num_cpus": options.cpus, "num_gpus": options.gpus, **memory}
    return ray.remote(_Worker).options(max_restarts=-1, **asked).remote()


def _placed(actors: list[Any]) -> list[Any]:
    """Those that find room. Raises UsageError where none does, or where the program is not there."""
    asked = {actor.placed.remote(): actor for actor in actors}
    found, without = ray.wait(list(asked), num_returns=len(asked), timeout=_PLACING)
    for one in without:
        ray.kill(asked[one])
    if not found:
        raise UsageError(
            f"the Ray cluster found no room for a worker within {_PLACING:.0f} seconds; ask for fewer processors, GPUs "
            "or GB, or let the cluster grow first"
        )
    try:
        ray.get(found)
    except RayError as error:
        raise UsageError(
            "a worker cannot start; is attn-audit, in this version, installed where the cluster's workers run? Ray "
            f"says: {_last_line(error)}"
        ) from None
    return [asked[one] for one in found]


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def _last_line(error: Exception) -> str:
    return next(iter(reversed(str(error).strip().splitlines())), type(error).__name__)


# -- jobs ---------------------------------------------------------------------------------------------------------


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
            if isinstance(error.cause, _NotStarted):
                raise UsageError(f"on a worker: {error.cause}") from None
            raise error.cause from error
        except RayError as error:
            raise Incomplete(
                f"a worker died while it started; it may need more memory than it has. Ray says: {_last_line(error)}"
            ) from None

    def each(self, function: Callable[[State], Result]) -> tuple[Result, ...]:
        """Of those that live."""
        found = []
        for asked in [actor.apply.remote(function) for actor in self._idle]:
            try:
                found.append(ray.get(asked))
            except RayTaskError as error:
                if not isinstance(error.cause, _StartedAnew):
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
        patience = _POLL if self._busy else _PLACING
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
            with suppress(RayError, _NotStarted):
                ray.get(one)
                self._idle.append(actor)
            return
        actor, todo = self._busy.pop(one)
        try:
            result = ray.get(one)
        except RayTaskError as error:
            if not isinstance(error.cause, _StartedAnew):
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
