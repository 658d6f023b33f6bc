"""The arguments of ``attn-audit run`` to what is run: which cases, which model, which settings, which folder."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path

from attn_audit.cases import CaseFile, read_cases, single_case
from attn_audit.cli.console import advise
from attn_audit.evidence import bundle
from attn_audit.evidence.digest import sha256
from attn_audit.evidence.errors import EvidenceError, UsageError
from attn_audit.evidence.measured import Setting
from attn_audit.evidence.settings import ENVIRONMENT_PREFIX, Origin, Settings
from attn_audit.evidence.statements import Seal
from attn_audit.evidence.store import statement_in
from attn_audit.reports import pdf

_STDIN_LIMIT = 8 << 20  # bytes; the longest prompt that is accepted is shorter


def asked_cases(cases: str | None, prompt: str | None) -> CaseFile:
    if (cases is None) == (prompt is None):
        raise UsageError("give a case file, - for a question on stdin, or --prompt TEXT; exactly one of them")
    if prompt is not None:
        return single_case(prompt)
    if cases == "-":
        try:
            return single_case(sys.stdin.buffer.read(_STDIN_LIMIT).decode("utf-8").removesuffix("\n"))
        except UnicodeDecodeError:
            raise UsageError("the question on stdin is not valid UTF-8") from None
    return read_cases(Path(cases or ""))


def source(cases: str | None) -> str | None:
    """The case file's path below the working folder, else its name: what findings point at. No path of this machine."""
    if cases in {None, "-"}:
        return None
    path = Path(cases or "").resolve()
    named = path.relative_to(Path.cwd()).as_posix() if path.is_relative_to(Path.cwd()) else path.name
    return named.encode("utf-8", "backslashreplace").decode()  # a name need not be UTF-8, evidence is


def model_name(flag: str | None, case_file: CaseFile) -> tuple[str, Origin]:
    sources: tuple[tuple[str | None, Origin], ...] = (
        (flag, "flag"),
        (os.environ.get(ENVIRONMENT_PREFIX + "MODEL"), "environment"),
        (case_file.model, "case file"),
    )
    for name, origin in sources:
        if name:
            return name, origin
    raise UsageError("no model: give --model PATH (a folder, a .gguf file, or smollm2), or 'model' in the case file")


def advise_misspelt(environment: Mapping[str, str]) -> None:
    """Names a variable that is nearly a setting and sets nothing; others may have variables with that beginning."""
    known = {ENVIRONMENT_PREFIX + name.upper() for name in ("model", *Settings.model_fields)}
    for name in sorted(set(environment) - known):
        stem = name.removeprefix(ENVIRONMENT_PREFIX)
        near = get_close_matches(stem, [one.removeprefix(ENVIRONMENT_PREFIX) for one in known], 1, 0.8)
        if near and stem != name:
            advise(f"the variable {name} sets nothing; is {ENVIRONMENT_PREFIX}{near[0]} meant?")


def printable(settings: Settings, recorded: tuple[Setting, ...]) -> tuple[Settings, tuple[Setting, ...]]:
    """HTML only where the PDF libraries are missing and nobody asked for a PDF; else refused. Raises UsageError."""
    missing = pdf.missing_libraries() if "pdf" in settings.views else None
    if missing is None:
        return settings, recorded
    if any(one.name == "format" and one.origin != "default" for one in recorded):
        raise UsageError(missing)
    advise(f"{missing} Only HTML is written.")
    reduced = settings.model_copy(update={"format": "html"})
    forced = {"value": "html", "origin": "host"}
    return reduced, tuple(one.model_copy(update=forced) if one.name == "format" else one for one in recorded)


def folder(out: Path | None, plan: Path | None, *, resume: bool) -> Path | None:
    """Where the audit goes: a new folder, or the one that has the plan. Raises UsageError."""
    if plan is not None:
        names = {bundle.statement_name(bundle.PLAN, signed=signed) for signed in (True, False)}
        if plan.name not in names or not os.path.lexists(plan):
            raise UsageError(
                f"{str(plan)[:200]} is no plan; give {' or '.join(sorted(names))} in the folder of --plan-only"
            )
        if out is not None and out.resolve() != plan.parent.resolve():
            raise UsageError(f"a plan is run in its own folder, {plan.parent}; leave out --out")
        return plan.parent
    if resume and out is None:
        raise UsageError("--resume needs the folder of the interrupted run: give it with --out")
    if not resume and out is not None and os.path.lexists(out):
        raise UsageError(f"output folder {out} exists already; name another, or go on with it by --resume")
    return out


def seal_digest(path: Path) -> str:
    """The digest of a seal's file. Raises UsageError where it is none."""
    try:
        statement_in(path, Seal)
        return sha256(bundle.read_file(path))
    except EvidenceError as error:
        raise UsageError(f"the previous seal is refused: {error}") from None
