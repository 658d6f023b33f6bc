"""The benchmark for GPUs runs where there is none, on a small network on the CPU: every line of it but the device's."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_the_gpu_benchmark_runs_on_the_cpu(repository: Path) -> None:
    command = [sys.executable, str(repository / "benchmarks/gpu.py"), "--device", "cpu", "--shape", "tiny"]
    options = ["--prompt-tokens", "48", "--answer-tokens", "3", "--sampled", "8"]
    done = subprocess.run([*command, *options], capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    for method in ("ours, total", "ours, direct", "naive, 1 at a time", "naive, 32 at a time"):
        assert method in done.stdout
    differences = [float(found) for found in re.findall(r"at most (\S+) nats", done.stdout)]
    assert differences[0] == 0.0, "float32 on the CPU is what it is compared with"
    assert 1e-4 < differences[1] < 0.3
