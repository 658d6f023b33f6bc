"""Jobs for the tests of executors: functions that a worker of a cluster can import."""

from __future__ import annotations

import os
import time
from functools import partial
from pathlib import Path

from attn_audit.evidence.errors import UsageError
from attn_audit.executors import Call


class Counter:
    """State of a worker: what is made once."""

    def __init__(self) -> None:
        self.pid = os.getpid()


def refusing() -> Counter:
    raise UsageError("there is no model here")


def dying() -> Counter:
    os._exit(9)


def pid(state: Counter) -> int:
    return state.pid


def square(_: Counter, job: int, call: Call) -> tuple[int, int]:
    call.tell(0, 1)
    return job * job, call.attempt


def raising(_: Counter, job: int, call: Call) -> int:
    call.tell(0, 1)
    if job == 3:
        raise ZeroDivisionError("job 3")
    return job


def deadly(times: int, _: Counter, job: int, call: Call) -> tuple[int, int]:
    """The worker that has job 2 dies of it, the first so many times."""
    if job == 2 and call.attempt <= times:
        os._exit(9)
    time.sleep(0.2)
    return job, call.attempt


def telling(_: Counter, job: int, call: Call) -> int:
    """A job that says how far it is, and takes a while."""
    for done in range(15):
        call.tell(done, 15)
        time.sleep(0.1)
    return job


def waiting(_: Counter, job: int, call: Call) -> int:
    """A job that takes longer than anybody waits."""
    for _second in range(600):
        call.tell(0, 1)
        time.sleep(1)
    return job


def here_once(mark: Path) -> Counter:
    """Starts the first time only: as where Ray starts a worker anew on a machine that has no model."""
    if len(list(mark.iterdir())) >= 2:
        raise UsageError("there is no model here")
    (mark / str(os.getpid())).touch()
    return Counter()


dying_once, dying_twice = partial(deadly, 1), partial(deadly, 2)
