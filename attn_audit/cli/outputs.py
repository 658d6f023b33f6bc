"""What ``attn-audit run`` leaves for other programs: copies of the exports, and what makes a CI job fail."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from attn_audit.cli.console import advise
from attn_audit.cli.targets import check_targets
from attn_audit.evidence import bundle
from attn_audit.evidence.errors import Incomplete, UsageError
from attn_audit.evidence.statements import ExportName
from attn_audit.evidence.store import stored_evidence
from attn_audit.judge.conditions import Condition, Met, conditions, met
from attn_audit.reports.exports import EXPORTS

STEP_SUMMARY = "GITHUB_STEP_SUMMARY"
_AUTO = "auto"

if TYPE_CHECKING:
    from attn_audit.batch import Finished


@dataclass(frozen=True)
class Outputs:
    """``copies``: where else an export goes, beside the audit folder; ``appended``: the summary goes to its end."""

    exports: tuple[ExportName, ...]
    copies: Mapping[str, Path]
    appended: Path | None
    conditions: tuple[Condition, ...]


NOTHING = Outputs((), {}, None, ())


def wanted(
    files: Mapping[ExportName, str | None], fail_on: str | None, inputs: Iterable[Path], environment: Mapping[str, str]
) -> Outputs:
    """What the flags ask for. ``files``: the path given for each export; ``inputs``: what must not be overwritten.
    Raises UsageError, before anything is measured, where a file could not be written afterwards."""
    given = {export: path for export, path in files.items() if path is not None}
    appended = _step_summary(environment) if given.get("summary") == _AUTO else None
    copies = {
        name: target
        for export, path in given.items()
        if not (export == "summary" and path == _AUTO)
        for name, target in zip(EXPORTS[export].files, _targets(Path(path)), strict=False)
    }
    check_targets(copies.values(), inputs)
    return Outputs(tuple(given), copies, appended, () if fail_on is None else conditions(fail_on))


def unwritten(outputs: Outputs, out: Path) -> Iterator[str]:
    """Write the copies, each whole or not at all; a sentence for each that could not be."""
    for name, target in outputs.copies.items():
        try:
            bundle.copy_file(out / name, target)
        except Incomplete as error:
            yield f"{error}; the audit in {out} has it"
    if outputs.appended is not None:
        [page] = EXPORTS["summary"].files
        try:
            with outputs.appended.open("ab") as file:
                file.write(b"\n" + bundle.read_file(out / page))
        except OSError as error:
            yield f"the summary cannot be appended to {outputs.appended}: {error.strerror}; the audit in {out} has it"


def conditions_met(outputs: Outputs, finished: Finished) -> tuple[Met, ...]:
    """Where a condition of ``--fail-on`` is met."""
    if not outputs.conditions:
        return ()
    return tuple(met(outputs.conditions, finished.seal, stored_evidence(finished.out, finished.seal).values()))


def _targets(path: Path) -> Iterator[Path]:
    """The file itself, and the one for the table over the whole batch, which only CSV has and asks for."""
    if not path.name:
        raise UsageError(f"{path} cannot be written: it is a folder; name a file")
    yield path
    yield path.with_name(f"{path.stem}.batch{path.suffix}")


def _step_summary(environment: Mapping[str, str]) -> Path | None:
    """Where a job of GitHub Actions takes its summary from; elsewhere only the audit folder has it."""
    if path := environment.get(STEP_SUMMARY):
        check_targets([Path(path)], ())
        return Path(path)
    advise(f"--summary auto: {STEP_SUMMARY} is not set here, so the summary is only in the audit folder")
    return None
