"""What does a case of a large batch cost beyond the model's own time, and does memory grow with the number of cases?

Batches of tiny cases with a tiny random model, so that nearly all that is measured is the program itself; HTML only,
signed, with policies and pairs. Each step is a process of its own: the batch, ``attn-audit verify``, ``attn-audit
diff`` of the batch with itself (where there is that command), and the time that a headless Chromium takes to load
``index.html``, less that of an empty page.

    python benchmarks/batch.py
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

SIZES = "100,300,1000"
_WORKER = Path(__file__).with_name("batch_worker.py")
_PAGE_LOADS = 5
_PAIRED = 20  # every so manieth case is one of a pair with the next
_POLICIES = (
    {"name": "postcode", "terms": ["postcode"], "limits": {"max_share": 0.3, "not_in_top": 1}},
    {"name": "income", "pattern": "earns [0-9]+ euros", "limits": {"min_share": 0.01}, "severity": "warn"},
    {"name": "no apology", "answer_must_not_match": "(?i)sorry"},
)


@dataclass(frozen=True)
class Step:
    """What a process took: seconds from its start to its end, and the most memory that it held, bytes."""

    seconds: float
    peak: int
    said: str


@dataclass(frozen=True)
class Size:
    """The figures of one size of batch. ``page``: seconds that a browser takes to load ``index`` bytes."""

    cases: int
    batch: dict[str, Any]
    run: Step
    verify: Step
    diff: Step | None
    index: int
    page: float | None


def case_file(cases: int) -> str:
    """JSON Lines: short questions, policies for all of them, and pairs that differ in a postcode."""
    batch = {"title": "A large batch", "settings": {"max_new_tokens": 4}, "policies": _POLICIES}
    lines: list[dict[str, Any]] = [{"batch": batch}]
    for number in range(cases):
        twin = number % _PAIRED == 1  # asks what the case before it asks, but for the postcode
        earns = 1000 + 10 * (number - twin)
        lines.append(
            {
                "id": f"case-{number:05}",
                "template": "The applicant earns {income} euros a month. The postcode is {postcode}. Is the loan "
                "approved?",
                "fields": {"income": str(earns), "postcode": str(4000 + number)},
            }
        )
        if number % _PAIRED == 0 and number + 1 < cases:
            pair = {"name": "postcode makes no difference", "pair_with": f"case-{number + 1:05}", "tolerance": 0.2}
            lines[-1]["policies"] = [pair]
    return "".join(json.dumps(line) + "\n" for line in lines)


def step(*command: str | Path) -> Step:
    """Run it to its end. This process stays small, since what it holds is counted as the child's at its beginning."""
    began = time.perf_counter()
    with subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        said, complaint = (stream.read().decode() for stream in (child.stdout, child.stderr) if stream is not None)
        _, status, used = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"{' '.join(map(str, command))} ended with {child.returncode}: {complaint or said[-2000:]}")
    return Step(time.perf_counter() - began, used.ru_maxrss * 1024, said)


def page_seconds(browser: str, page: Path) -> float:
    """Until the whole page is laid out and its elements are printed; median of several loads."""
    command = (browser, "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom", f"file://{page}")
    return median(step(*command).seconds for _ in range(_PAGE_LOADS))


def has_diff(program: Path) -> bool:
    """Whether this version has the command."""
    return subprocess.run([program, "diff", "--help"], capture_output=True, check=False).returncode == 0


def measure(folder: Path, cases: int, browser: str | None) -> Size:
    """One size of batch, from its case file to the loaded page."""
    program = Path(sys.executable).with_name("attn-audit")
    (folder / f"{cases}.jsonl").write_text(case_file(cases), encoding="utf-8")
    run = step(sys.executable, _WORKER, "run", folder, str(cases))
    out = folder / f"audit-{cases}"
    verify = step(program, "verify", out, "--trust", folder / "key.allowed_signers")
    diff = step(program, "diff", out, out) if has_diff(program) else None
    index = out / "index.html"
    page = None
    if browser is not None:
        empty = folder / "empty.html"
        empty.write_text("<!DOCTYPE html><title>empty</title>", encoding="utf-8")
        page = page_seconds(browser, index) - page_seconds(browser, empty)
    return Size(cases, json.loads(run.said), run, verify, diff, index.stat().st_size, page)


def main(
    sizes: Annotated[str, typer.Option(help="Numbers of cases, with commas between.")] = SIZES,
    keep: Annotated[Path | None, typer.Option(help="An empty folder where case files and audits stay.")] = None,
) -> None:
    """Seconds and peak memory of each step, at each size."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    with TemporaryDirectory() as passing:
        folder = keep or Path(passing)
        step(sys.executable, _WORKER, "make", folder)
        found = []
        for cases in map(int, sizes.split(",")):
            found.append(measure(folder, cases, browser))
            _print(found[-1])
    _print_all(found)


def _print(one: Size) -> None:
    print({name: round(value, 3) for name, value in one.batch.items()}, flush=True)


def _print_all(found: list[Size]) -> None:
    titles = ("cases", "start s", "model s", "beyond, ms a case", "closing, ms a case", "loaded MiB", "run MiB")
    table = Table(*titles, "verify s", "verify MiB", "diff s", "diff MiB", "index KiB", "page s")
    for one in found:
        took = one.batch
        beyond, closing = took["cases"] - took["model"], took["close"]
        memory = (f"{took[name] / 2**20:.0f}" for name in ("loaded", "peak"))
        table.add_row(
            f"{one.cases:,}",
            f"{took['start']:.1f}",
            f"{took['model']:.1f}",
            f"{1000 * beyond / one.cases:.0f}",
            f"{1000 * closing / one.cases:.0f}",
            *memory,
            f"{one.verify.seconds:.1f}",
            f"{one.verify.peak / 2**20:.0f}",
            *(("–", "–") if one.diff is None else (f"{one.diff.seconds:.1f}", f"{one.diff.peak / 2**20:.0f}")),
            f"{one.index / 1024:.0f}",
            "–" if one.page is None else f"{one.page:.2f}",
        )
    Console(width=160).print(table)


if __name__ == "__main__":
    typer.run(main)
