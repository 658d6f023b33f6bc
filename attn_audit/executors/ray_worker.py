"""What runs in actors: workers, each with its state, and the board where they leave how far they are. Ray makes actors
of these classes; nothing here imports it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any, Generic

from attn_audit.evidence.errors import AuditError
from attn_audit.executors import Call, Job, Result, State, Task

TOLD = 0.5  # seconds between two things that a worker tells


class NotStarted(Exception):
    """The worker cannot make its state, for this reason."""


class StartedAnew(Exception):
    """The worker has died since, and has no state yet."""


class Worker(Generic[State]):
    """Makes its state when it is told to; after its death, when Ray has started it anew, once more."""

    def __init__(self) -> None:
        self._state: State | None = None
        self._board: Any = None
        self._told = 0.0

    def placed(self) -> None:
        """It has found room."""

    def begin(self, start: Callable[[], State], board: Any) -> None:
        """Make the state. Raises NotStarted."""
        self._board = board
        try:
            self._state = start()
        except AuditError as error:
            raise NotStarted(str(error)) from None

    def apply(self, function: Callable[[State], Result]) -> Result:
        """Raises StartedAnew."""
        return function(self._ready())

    def work(self, task: Task[State, Job, Result], number: int, job: Job, attempt: int) -> Result:
        """Raises StartedAnew, and what the task raises."""
        return task(self._ready(), job, Call(attempt, partial(self._tell, number)))

    def _ready(self) -> State:
        if self._state is None:
            raise StartedAnew
        return self._state

    def _tell(self, number: int, done: int, total: int) -> None:
        """Not more often than the other side looks."""
        if time.monotonic() - self._told > TOLD:
            self._told = time.monotonic()
            self._board.tell.remote(number, done, total)


class Board:
    """Where workers leave how far they are."""

    def __init__(self) -> None:
        self._latest: dict[int, tuple[int, int]] = {}

    def tell(self, number: int, done: int, total: int) -> None:
        self._latest[number] = done, total

    def read(self) -> dict[int, tuple[int, int]]:
        """The latest of each job since the last time."""
        latest, self._latest = self._latest, {}
        return latest
