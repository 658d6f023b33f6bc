"""One step of benchmarks/batch.py in a process of its own, so that its memory is its own: makes what a batch needs, or
runs one and tells what it took.

    python benchmarks/batch_worker.py make FOLDER
    python benchmarks/batch_worker.py run FOLDER CASES
"""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

import tiny
from attn_audit import batch
from attn_audit.cases import read_cases
from attn_audit.cli.signing import signing_key
from attn_audit.evidence import keys
from attn_audit.evidence.measured import Evidence, Setting
from attn_audit.evidence.records import Case, Content
from attn_audit.evidence.settings import resolve
from attn_audit.evidence.statements import SealedCase
from attn_audit.host import this_host
from attn_audit.measure.model import locate, set_threads


class Timed(batch.Watch):
    """When the first case began and the last ended, and what the model took of that, seconds."""

    def __init__(self) -> None:
        self.first = self.last = self.model = 0.0
        self.loaded = 0

    def case_begins(self, case: Case, number: int, total: int) -> None:
        if number == 1:
            self.first, self.loaded = time.perf_counter(), peak()

    def case_ends(self, case: Case, ended: SealedCase, measured: tuple[Content, Evidence] | None) -> None:
        self.last = time.perf_counter()
        if measured is not None:
            run = measured[1].run
            self.model += run.seconds_answer + run.seconds_sweep + run.seconds_checks


def peak() -> int:
    """The most memory that this process held so far, bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def make(folder: Path) -> None:
    """A tiny model with random weights, and a key."""
    tiny.folder(folder / "model")
    keys.generate(folder / "key", "audit@bank.example", None)


def run(folder: Path, cases: int) -> None:
    """The batch, as ``attn-audit run`` runs it; a line of JSON on stdout."""
    began = time.perf_counter()
    case_file = read_cases(folder / f"{cases}.jsonl")
    settings, recorded = resolve({"format": "html"}, {}, case_file.settings)
    located = locate(str(folder / "model"))
    recorded = (Setting(name="model", value=located.name, origin="flag"), *recorded)
    host = this_host(settings.threads, settings.views)
    set_threads(host.threads)
    key = signing_key(folder / "key", None, {})
    watch = Timed()
    order = batch.Order(case_file, located, settings, recorded, key, folder / f"audit-{cases}")
    finished = batch.run(order, host, watch)
    ended = time.perf_counter()
    assert finished.seal.ok == cases, "every case must have been finished"
    found = {
        "start": watch.first - began,
        "cases": watch.last - watch.first,
        "model": watch.model,
        "close": ended - watch.last,
        "loaded": watch.loaded,
        "peak": peak(),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    make(Path(sys.argv[2])) if sys.argv[1] == "make" else run(Path(sys.argv[2]), int(sys.argv[3]))
