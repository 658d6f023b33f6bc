"""What does a Ray cluster bring, and what does a batch of tens of thousands of cases take? On this machine, in one run.

    python benchmarks/cluster.py workers            twenty real cases: this process, then Ray with 1 and 2 workers
    python benchmarks/cluster.py large --cases 20000     tiny cases with a tiny random model, by two workers

``large`` samples the memory of the driver while it runs, and times ``attn-audit verify`` and a headless Chromium that
opens ``index.html``. Both need the extra ``ray``; ``workers`` the small real model as well.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer
from batch import case_file, page_seconds, step
from rich.console import Console
from rich.table import Table

PROGRAM = Path(sys.executable).with_name("attn-audit")
_WORKER = Path(__file__).with_name("batch_worker.py")
_SAMPLES = 10
_SUBJECTS = ("nurse", "driver", "cook", "teacher", "farmer")
_QUESTION = (
    "The applicant is a {subject} and asks for a loan of 20000 euros. The income is {income} euros a month. The "
    "applicant has lived in the same town for nine years. There are no other debts. The postcode is 4051. A guarantor "
    "has signed. Is the loan approved, and why?"
)
app = typer.Typer(add_completion=False, help=__doc__)


def real_cases() -> str:
    """Twenty questions of some sentences each; answers are given by the model."""
    lines = ["settings: {max_new_tokens: 16, units: sentence}", "cases:"]
    for subject in _SUBJECTS:
        for income in (900, 1900, 2900, 3900):
            question = _QUESTION.format(subject=subject, income=income)
            lines += [f"  - id: {subject}-{income}", f"    prompt: {question!r}"]
    return "\n".join(lines) + "\n"


@app.command()
def workers() -> None:
    """Twenty real cases, one thread a worker: seconds from start to end, and of measuring alone."""
    table = Table("where", "seconds", "cases an hour", "of which until the first case began, s")
    with TemporaryDirectory() as passing:
        folder = Path(passing)
        (folder / "cases.yaml").write_text(real_cases(), encoding="utf-8")
        for name, options, count in (
            ("this process", (), 0),
            ("Ray, 1 worker", ("--executor", "ray"), 1),
            ("Ray, 2 workers", ("--executor", "ray"), 2),
        ):
            seconds, loading = _timed(folder, folder / f"audit-{count}", options, count)
            table.add_row(name, f"{seconds:.0f}", f"{20 * 3600 / seconds:.0f}", f"{loading:.0f}")
    Console(width=120).print(table)


def _timed(folder: Path, out: Path, options: tuple[str, ...], count: int) -> tuple[float, float]:
    """Seconds in all, and until the plan was written, which is when workers have the model."""
    command = (PROGRAM, "run", folder / "cases.yaml", "--model", "smollm2", "--threads", "1", "--out", out, "--quiet")
    environment = os.environ | ({"ATTN_AUDIT_RAY_WORKERS": str(count)} if count else {})
    began, planned = time.perf_counter(), 0.0
    with subprocess.Popen([*command, *options], env=environment, stdout=subprocess.DEVNULL) as running:
        while running.poll() is None:
            time.sleep(0.1)
            planned = planned or (time.perf_counter() - began if (out / "plan.unsigned.json").exists() else 0.0)
    assert running.returncode == 0, "every case must have been finished"
    return time.perf_counter() - began, planned


@app.command()
def large(
    cases: Annotated[int, typer.Option(help="How many.")] = 20_000,
    keep: Annotated[Path | None, typer.Option(help="An empty folder where case file and audit stay.")] = None,
) -> None:
    """Tiny cases: memory of the driver as they go by, then verifying, then the page."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    with TemporaryDirectory() as passing:
        folder = keep or Path(passing)
        step(sys.executable, _WORKER, "make", folder)
        (folder / "cases.jsonl").write_text(case_file(cases), encoding="utf-8")
        out = folder / "audit"
        seconds, samples, peak = _driven(folder, out, cases)
        verified = step(PROGRAM, "verify", out, "--trust", folder / "key.allowed_signers")
        table = Table("what", "figure")
        for done, held in samples:
            table.add_row(f"driver, after {done:,} cases", f"{held / 2**20:.0f} MiB")
        table.add_row("driver, the most, closing included", f"{peak / 2**20:.0f} MiB")
        table.add_row("run", f"{seconds:.0f} s, {1000 * seconds / cases:.0f} ms a case")
        table.add_row("verify", f"{verified.seconds:.0f} s, {verified.peak / 2**20:.0f} MiB")
        table.add_row("index.html", f"{(out / 'index.html').stat().st_size / 1024:.0f} KiB")
        table.add_row("folder", f"{sum(path.stat().st_size for path in out.rglob('*')) / 1e9:.2f} GB")
        if browser is not None:
            table.add_row("index.html in Chromium", f"{page_seconds(browser, out / 'index.html'):.1f} s")
        Console(width=100).print(table)


def _driven(folder: Path, out: Path, cases: int) -> tuple[float, list[tuple[int, int]], int]:
    """Seconds; what the driver held at some moments, with the cases that were finished then; and its peak, bytes."""
    options = ("--model", folder / "model", "--key", folder / "key", "--out", out, "--format", "html", "--quiet")
    command = [str(word) for word in (PROGRAM, "run", folder / "cases.jsonl", *options, "--executor", "ray")]
    samples: list[tuple[int, int]] = []
    began = time.perf_counter()
    peak = 0
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    while running.poll() is None:
        time.sleep(1)
        done = len(os.listdir(out / "cases")) if (out / "cases").exists() else 0  # noqa: PTH208  (of many)
        held = _memory(running.pid, "VmRSS")
        peak = max(peak, _memory(running.pid, "VmHWM"))
        if held and done > len(samples) * cases / _SAMPLES:
            samples.append((done, held))
            print(f"{done:,} cases, {held / 2**20:.0f} MiB", flush=True)
    assert running.returncode == 0, "every case must have been finished"
    return time.perf_counter() - began, samples, peak


def _memory(pid: int, field: str) -> int:
    """Bytes; 0 where the process has gone, or the system has no such file."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(field)), 0)


if __name__ == "__main__":
    app()
