"""Executors map a function over jobs. The same for each: this process, and the actors of a real Ray cluster."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

import ray_tasks
from attn_audit.evidence.errors import Incomplete, UsageError
from attn_audit.executors import Ended, Executor, Unfinished, ray_cluster
from attn_audit.executors.local import Local
from attn_audit.executors.options import RayOptions
from attn_audit.executors.ray import Ray
from clusters import cluster, free_port


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with TemporaryDirectory(prefix="ray-") as folder, cluster(Path(folder)) as found:  # sockets need a short path
        yield found.address


@pytest.fixture(params=["local", "ray"])
def executor(request: pytest.FixtureRequest) -> Executor:
    if request.param == "local":
        return Local()
    return Ray(RayOptions(address=request.getfixturevalue("address")))


@pytest.fixture
def cluster_of_two(address: str) -> Ray:
    return Ray(RayOptions(address=address, workers=2))


class Attending:
    """Remembers what it is told; asks for a stop once ``until`` jobs have begun."""

    def __init__(self, until: int | None = None) -> None:
        self.begun: list[Any] = []
        self.told: list[tuple[Any, int, int]] = []
        self._until = until

    def stop_requested(self) -> bool:
        return self._until is not None and len(self.begun) >= self._until

    def begins(self, job: Any) -> None:
        self.begun.append(job)

    def progress(self, job: Any, done: int, total: int) -> None:
        self.told.append((job, done, total))


def by_job(ended: list[Ended[int, Any]]) -> dict[int, Any]:
    assert len({one.job for one in ended}) == len(ended), "each job ends once"
    return {one.job: one.result for one in ended}


def test_every_job_once(executor: Executor) -> None:
    attending = Attending()
    with executor.pool(ray_tasks.Counter) as pool:
        assert len(set(pool.each(ray_tasks.pid))) == pool.workers == (1 if executor.here else 2)
        for _ in range(2):  # a pool is used for several rounds
            ended = list(pool.map(ray_tasks.square, range(8), attending))
            assert by_job(ended) == {job: (job * job, 1) for job in range(8)}
        assert list(pool.map(ray_tasks.square, [], attending)) == []
    assert attending.begun == [*range(8), *range(8)], "in their order"


def test_what_a_task_raises_is_raised(executor: Executor) -> None:
    with executor.pool(ray_tasks.Counter) as pool, pytest.raises(ZeroDivisionError, match="job 3"):
        list(pool.map(ray_tasks.raising, range(8), Attending()))


def test_a_start_that_is_refused(executor: Executor) -> None:
    with pytest.raises(UsageError, match="there is no model here"), executor.pool(ray_tasks.refusing):
        pytest.fail("no worker has started")


def test_a_stop_ends_all_jobs(executor: Executor) -> None:
    with executor.pool(ray_tasks.Counter) as pool:
        ended = by_job(list(pool.map(ray_tasks.waiting, range(5), Attending(until=pool.workers))))
    assert ended == dict.fromkeys(range(5), Unfinished("stopped"))


def test_progress_is_told(executor: Executor) -> None:
    attending = Attending()
    with executor.pool(ray_tasks.Counter) as pool:
        list(pool.map(ray_tasks.telling, ["one", "two"], attending))
    assert {job for job, _, _ in attending.told} == {"one", "two"}
    assert all(0 <= done < total == 15 for _, done, total in attending.told)


# -- what only happens on a cluster --------------------------------------------------------------------------------


def test_a_worker_that_dies_is_started_anew(cluster_of_two: Ray) -> None:
    with cluster_of_two.pool(ray_tasks.Counter) as pool:
        before = set(pool.each(ray_tasks.pid))
        ended = by_job(list(pool.map(ray_tasks.dying_once, range(6), Attending())))
        assert ended == {job: (job, 2 if job == 2 else 1) for job in range(6)}
        again = by_job(list(pool.map(ray_tasks.square, range(6), Attending())))
        assert again == {job: (job * job, 1) for job in range(6)}
        assert len(set(pool.each(ray_tasks.pid)) & before) == 1


def test_a_job_that_two_workers_die_at_is_lost(cluster_of_two: Ray) -> None:
    with cluster_of_two.pool(ray_tasks.Counter) as pool:
        ended = by_job(list(pool.map(ray_tasks.dying_twice, range(6), Attending())))
    lost = ended.pop(2)
    assert isinstance(lost, Unfinished)
    assert lost.why == "lost"
    assert "died" in lost.reason
    assert ended == {job: (job, 1) for job in (0, 1, 3, 4, 5)}


@pytest.mark.slow
def test_a_worker_that_starts_anew_without_its_model_is_given_up(cluster_of_two: Ray, tmp_path: Path) -> None:
    with cluster_of_two.pool(partial(ray_tasks.here_once, tmp_path)) as pool:
        ended = by_job(list(pool.map(ray_tasks.dying_once, range(6), Attending())))
        assert ended == {job: (job, 2 if job == 2 else 1) for job in range(6)}, "the other worker does its jobs"
        assert len(pool.each(ray_tasks.pid)) == 1


@pytest.mark.slow
def test_no_worker_is_left(address: str, tmp_path: Path) -> None:
    (tmp_path / "one").touch()
    alone = Ray(RayOptions(address=address, workers=1))
    with (
        alone.pool(partial(ray_tasks.here_once, tmp_path)) as pool,
        pytest.raises(Incomplete, match="no worker is left in the Ray cluster; what is finished is kept"),
    ):
        list(pool.map(ray_tasks.dying_once, range(6), Attending()))


@pytest.mark.slow
def test_a_worker_that_dies_at_its_start(cluster_of_two: Ray) -> None:
    with pytest.raises(Incomplete, match="a worker died while it started"), cluster_of_two.pool(ray_tasks.dying):
        pytest.fail("no worker has started")


@pytest.mark.slow
def test_more_workers_than_there_is_room_for(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_cluster, "PLACING", 10.0)
    with Ray(RayOptions(address=address, workers=5)).pool(ray_tasks.Counter) as pool:
        assert pool.workers == 2, "the others are not waited for"
    large = RayOptions(address=address, cpus=64)
    with pytest.raises(UsageError, match="found no room for a worker"), Ray(large).pool(ray_tasks.Counter):
        pytest.fail("there is no such machine")


def test_no_cluster_there() -> None:
    nowhere = f"127.0.0.1:{free_port()}"
    with (
        pytest.raises(UsageError, match=f"there is no Ray cluster at {nowhere}: .*refused"),
        Ray(RayOptions(address=nowhere)).pool(ray_tasks.Counter),
    ):
        pytest.fail("there is no such cluster")


def test_ray_leaves_the_signals_alone(cluster_of_two: Ray) -> None:
    def stop(*_: object) -> None:
        pytest.fail("nobody stops this")

    before = signal.signal(signal.SIGTERM, stop)
    try:
        with cluster_of_two.pool(ray_tasks.Counter):
            assert signal.getsignal(signal.SIGTERM) is stop, "which stops a run between two cases"
    finally:
        signal.signal(signal.SIGTERM, before)
