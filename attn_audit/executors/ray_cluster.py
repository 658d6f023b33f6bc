"""A Ray cluster: connecting to it, and finding room there for workers."""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ray
from ray.exceptions import RayError

from attn_audit.evidence.errors import UsageError
from attn_audit.executors.options import RayOptions
from attn_audit.executors.ray_worker import Worker

PLACING = 300.0  # seconds that Ray has to find room for the workers, or once more for those that died
_ANSWER = 10.0  # seconds that a cluster has to answer
_ENVIRONMENT = {
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1",  # a worker sees only those GPUs that were asked for
    "RAY_USAGE_STATS_ENABLED": "0",  # nobody is told
}


@contextmanager
def connected(address: str | None) -> Iterator[None]:
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


def room(options: RayOptions) -> int:
    """How many workers the cluster has room for now, at least one: where others use it, some may still have to wait."""
    free: dict[str, float] = ray.available_resources()  # type: ignore[no-untyped-call]
    asked = {"CPU": options.cpus, "GPU": options.gpus, "memory": (options.memory or 0) * 1e9}
    return max(1, int(min(free.get(name, 0.0) // amount for name, amount in asked.items() if amount)))


def new_worker(options: RayOptions) -> Any:
    memory = {} if options.memory is None else {"memory": options.memory * 1e9}
    asked = {"num_cpus": options.cpus, "num_gpus": options.gpus, **memory}
    return ray.remote(Worker).options(max_restarts=-1, **asked).remote()


def placed(actors: list[Any]) -> list[Any]:
    """Those that find room. Raises UsageError where none does, or where the program is not there."""
    asked = {actor.placed.remote(): actor for actor in actors}
    found, without = ray.wait(list(asked), num_returns=len(asked), timeout=PLACING)
    for one in without:
        ray.kill(asked[one])
    if not found:
        raise UsageError(
            f"the Ray cluster found no room for a worker within {PLACING:.0f} seconds; ask for fewer processors, GPUs "
            "or GB, or let the cluster grow first"
        )
    try:
        ray.get(found)
    except RayError as error:
        raise UsageError(
            "a worker cannot start; is attn-audit, in this version, installed where the cluster's workers run? Ray "
            f"says: {last_line(error)}"
        ) from None
    return [asked[one] for one in found]


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def last_line(error: Exception) -> str:
    return next(iter(reversed(str(error).strip().splitlines())), type(error).__name__)
