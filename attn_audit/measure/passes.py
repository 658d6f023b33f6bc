"""Rows through the model: passes beside each other, and smaller ones where the memory does not hold them."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextvars import copy_context
from typing import TypeVar

import torch
from torch import Tensor

from attn_audit.measure.memory import as_memory_error

Job = TypeVar("Job")
Result = TypeVar("Result")
Row = TypeVar("Row")


def side_by_side(
    jobs: Sequence[Job], run: Callable[[Job], Result], at_once: int
) -> Generator[tuple[Job, Result], None, None]:
    """Each job with its result, as they are done, ``at_once`` of them at a time, in threads that share the threads of
    the processor. To be closed: it waits for the jobs that have begun, also after Ctrl-C, and drops the others."""
    if at_once == 1:
        for job in jobs:
            yield job, run(job)
        return
    threads = torch.get_num_threads()
    pool = ThreadPoolExecutor(at_once, "passes", torch.set_num_threads, (max(1, threads // at_once),))
    try:
        futures = {pool.submit(copy_context().run, run, job): job for job in jobs}
        for future in as_completed(futures):
            yield futures[future], future.result()
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(threads)  # what each of them set is the default for new threads, too


def halving(run: Callable[[Sequence[Row]], Tensor], rows: Sequence[Row]) -> tuple[Tensor, int]:
    """What ``run`` gives for the rows, (rows, ...), and how often they had to be split in two to fit the memory. Raises
    MemoryError where one row alone does not."""
    try:
        with torch.inference_mode(), as_memory_error():
            return run(rows), 0
    except MemoryError:
        if len(rows) == 1:
            raise
    # Outside of the handler, whose traceback would keep what the failed pass had taken.
    middle = len(rows) // 2
    (one, before), (other, after) = halving(run, rows[:middle]), halving(run, rows[middle:])
    return torch.cat((one, other)), before + after + 1
