"""Kill batches with SIGKILL at chosen moments, in children of one process that has the libraries loaded.

    python crashing.py MODEL FOLDER MOMENT...

For each moment a batch of two cases is run in a folder of its own and killed when it changes the file system for the
MOMENT-th time (1: its very first change); then it is resumed. A line of JSON says what was found: how the interrupted
folder verifies, how it ended when it was resumed, and whether it equals the batch that nobody interrupted.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch

import audits
from attn_audit import batch
from attn_audit.evidence.errors import AuditError
from attn_audit.evidence.host import Host
from attn_audit.verify import verify

CASES = """\
settings: {max_new_tokens: 2, checks: none}
cases:
  - {id: first, prompt: "The income is high. Is the loan approved?"}
  - {id: second, prompt: "The income is low. Is the loan approved?"}
"""
CHANGES = frozenset({"os.rename", "os.mkdir", "os.remove", "os.rmdir"})


def changes(event: str, arguments: tuple[Any, ...]) -> bool:
    """Whether the event of sys.audit changes the file system: the names of the standard library's table."""
    writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
    return event in CHANGES or bool(writes)


def in_a_child(work: Callable[[], object], moment: int, folder: Path) -> int:
    """The exit status of a child that does the work and is killed at its ``moment``-th change (0: never) within the
    folder."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    seen = 0

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal seen
        if changes(event, arguments) and str(arguments[0]).startswith(str(folder)):
            seen += 1
            if seen == moment:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)
    try:
        work()
    except AuditError as error:
        os._exit(error.exit_code)
    os._exit(0)


def essence(out: Path) -> dict[str, Any]:
    """All that an audit says but for times and what hangs on them."""
    seal = audits.seal_of(out).model_dump()
    for name in ("started", "finished", "plan"):
        seal.pop(name)
    found: dict[str, Any] = {"seal": [seal | {"cases": [(case["id"], case["status"]) for case in seal["cases"]]}]}
    for case in ("first", "second"):
        folder = out / "cases" / case
        evidence = audits.evidence_of(folder).model_dump()
        for name in ("run", "plan"):
            evidence.pop(name)
        found[case] = [(folder / "content.json").read_text(), evidence]
    found["files"] = sorted(path.relative_to(out).as_posix() for path in out.rglob("*"))
    return found


def earlier() -> Host:
    """The clock of somebody who resumes after it was set back an hour; the salts come from the file that was kept."""
    return audits.host(start=audits.START - timedelta(hours=1))


def main(model: Path, folder: Path, moments: list[int]) -> None:
    torch.set_num_threads(1)
    private = audits.key(folder)
    signers = audits.Audit(folder, private).signers
    (folder / "cases.yaml").write_text(CASES)

    def order(out: Path) -> batch.Order:
        return audits.order(folder / "cases.yaml", model, private, out, format="html")

    def code(out: Path) -> int:
        try:
            return verify(out, audits.read_allowed_signers(signers)).exit_code
        except AuditError as error:
            return error.exit_code

    untouched = folder / "untouched"
    in_a_child(lambda: batch.run(order(untouched), audits.host(), batch.Watch()), 0, folder)
    for moment in moments:
        out = folder / "work"
        ended = in_a_child(lambda: batch.run(order(out), audits.host(), batch.Watch()), moment, folder)  # noqa: B023
        said = {"moment": moment, "ended": ended, "interrupted": code(out), "cases": len(list(out.glob("cases/*")))}
        resumed = in_a_child(lambda: batch.resume(order(out), earlier(), batch.Watch()), 0, folder)  # noqa: B023
        whole = resumed == 0 or ended == 0
        said |= {"resumed": resumed, "code": code(out), "equal": whole and essence(out) == essence(untouched)}
        print(json.dumps(said), flush=True)
        shutil.rmtree(out, ignore_errors=True)
        (folder / "work.salts").unlink(missing_ok=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), [int(moment) for moment in sys.argv[3:]])
