"""A Ray cluster on this machine, as ``ray start`` makes one, for the tests that need it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

TESTS = Path(__file__).resolve().parent


def free_port() -> int:
    with closing(socket.socket()) as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


@dataclass(frozen=True)
class Cluster:
    """Where it is, for ``--ray-address``; and the folder that its processes name."""

    address: str
    folder: Path

    def at_work(self) -> list[int]:
        """The processes of the workers that have a job."""
        [raylet] = _processes("-f", f"raylet/raylet .*{self.folder}")
        return _processes("-P", str(raylet), "-f", r"^ray::Worker\.work")


def _processes(*which: str) -> list[int]:
    found = subprocess.run(["pgrep", *which], capture_output=True, text=True, check=False)
    return [int(pid) for pid in found.stdout.split()]


@contextmanager
def cluster(folder: Path, cpus: int = 2) -> Iterator[Cluster]:
    """Workers find what ``tests`` holds; nothing is left when the context ends."""
    address = f"127.0.0.1:{free_port()}"
    command = (
        sys.executable,
        "-m",
        "ray.scripts.scripts",
        "start",
        "--head",
        "--block",
        f"--num-cpus={cpus}",
        f"--port={address.rpartition(':')[2]}",
    )
    more = ("--include-dashboard=false", "--disable-usage-stats", f"--temp-dir={folder}")
    settings = {"RAY_AUTH_MODE": "disabled", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1"}
    environment = os.environ | {"PYTHONPATH": str(TESTS)} | settings
    log = folder / "log"
    folder.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as out:
        running = subprocess.Popen([*command, *more], env=environment, stdout=out, stderr=subprocess.STDOUT)
    try:
        for _ in range(600):
            if "Ray runtime started" in log.read_text() or running.poll() is not None:
                break
            try:
                running.wait(0.1)
            except subprocess.TimeoutExpired:
                continue
        assert running.poll() is None, log.read_text()
        yield Cluster(address, folder)
    finally:
        running.terminate()
        running.wait(60)
