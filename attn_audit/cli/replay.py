"""``attn-audit replay``: an audit measured again, by somebody who has the model."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from attn_audit.cli.console import advise, data, stderr, stdout
from attn_audit.cli.signing import given_key
from attn_audit.cli.targets import check_folder
from attn_audit.cli.verify import PublicKey, Trust, trusted_keys
from attn_audit.evidence import bundle
from attn_audit.evidence.envelope import Statement, sign
from attn_audit.evidence.envelope import encode as encoded
from attn_audit.evidence.errors import EvidenceError, NotReplayed, UsageError
from attn_audit.evidence.host import Host, compact
from attn_audit.evidence.keys import SigningKey
from attn_audit.evidence.statements import Replay, ReplayedCase
from attn_audit.host import this_host
from attn_audit.reports.jsonlines import for_log
from attn_audit.reports.text import visible
from attn_audit.verify import verify as verify_audit
from attn_audit.verify.report import Report, VerifiedCase

if TYPE_CHECKING:
    from attn_audit.measure.model import LocatedModel

_IN_WORDS = {
    "identical": "the same numbers to the last recorded digit",
    "within tolerance": "the same numbers within the tolerance",
    "same ranking": "OUTSIDE THE TOLERANCE, but the same order of the pieces",
    "mismatch": "OTHER NUMBERS",
    "other prompt": "ANOTHER PROMPT: the model is given other tokens for this case",
    "other answer": "ANOTHER ANSWER: the model does not say this",
    "other pieces": "OTHER PIECES: the case is cut in another way",
    "not measured": "not measured",
}


def replay(
    path: Annotated[Path, typer.Argument(help="An audit folder, or one case inside it.")],
    model: Annotated[
        str,
        typer.Option(
            metavar="PATH",
            help="The same model: a folder, a .gguf file, or smollm2; another one is refused before anything is "
            "measured.",
        ),
    ],
    trust: Trust = None,
    public_key: PublicKey = None,
    cases: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Only so many cases, chosen at random; default: all.")
    ] = None,
    units: Annotated[
        str, typer.Option(metavar="N", help="How many pieces of each case, chosen at random, or all.")
    ] = "10",
    key: Annotated[Path | None, typer.Option(metavar="FILE", help="Private key to sign the result with.")] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Where the signed result goes, which must not exist; default: replay-TIME.sigstore.json.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
    passphrase_fd: Annotated[
        int | None, typer.Option(metavar="N", help="Read the key's passphrase from this file descriptor.")
    ] = None,
) -> None:
    """Verify an audit, or one case inside it, then measure it again with the same model and compare."""
    count = _count(units)
    signing = given_key(key, passphrase_fd)
    _require_writable(out, signing)
    report = verify_audit(check_folder(path), trusted_keys(trust, public_key))
    _require_verified(report)
    from attn_audit import replay as again  # noqa: PLC0415  (torch is needed only here)
    from attn_audit.measure.model import locate, set_threads  # noqa: PLC0415

    host = this_host(None)
    set_threads(host.threads)
    located = locate(model)
    measured = _measured(_chosen(report.cases, cases, host.entropy(32)), located, host, count)
    result = again.result(measured, located, None if signing is None else signing.signer, host)
    if signing is not None:
        attestations = {case.id: _attestation(path, case.id) for case in measured}
        _write(Statement(again.subjects(measured, attestations), result), signing, out)
    data(for_log(result.model_dump(mode="json"), indent=2)) if as_json else _print(result)
    if not again.agrees(measured):
        raise NotReplayed("measured again, the audit does not come out as recorded")


def _count(units: str) -> int | None:
    if units == "all":
        return None
    if not units.isascii() or not units.isdecimal() or not 1 <= int(units[:9]) <= 10**6:
        raise UsageError(f"--units {visible(units)[:40]} is refused: give a number from 1 on, or all")
    return int(units)


def _require_writable(out: Path | None, signing: SigningKey | None) -> None:
    if out is not None and signing is None:
        raise UsageError("only a signed result is written: --out needs --key FILE")
    if out is not None and os.path.lexists(out):
        raise UsageError(f"{out} exists already; name another with --out")


def _require_verified(report: Report) -> None:
    """What does not verify is not worth measuring. Raises EvidenceError with the exit code of verify."""
    failed = [check for check in report.checks if check.outcome == "failed" and check.exit_code == report.exit_code]
    for case_id in report.withheld:
        advise(f"{case_id}: content withheld, so not measured")
    if failed:
        error = EvidenceError(
            f"not verified, so not measured: {failed[0].subject}: {failed[0].name}: {failed[0].detail}"
        )
        error.exit_code = report.exit_code
        raise error
    if not report.cases:
        raise UsageError("the audit has no finished case to measure again")


def _chosen(cases: Mapping[str, VerifiedCase], count: int | None, entropy: bytes) -> dict[str, VerifiedCase]:
    from attn_audit.replay import choose  # noqa: PLC0415

    names = list(cases)
    return {names[index]: cases[names[index]] for index in choose(range(len(names)), count, entropy)}


def _measured(
    cases: dict[str, VerifiedCase], model: LocatedModel, host: Host, units: int | None
) -> tuple[ReplayedCase, ...]:
    """The cases measured again, with a bar on a terminal. Raises as ``attn_audit.replay.replay`` does."""
    from attn_audit import replay as again  # noqa: PLC0415

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=stderr(), disable=not stderr().is_terminal, transient=True) as progress:
        task = progress.add_task("measuring again", total=None)

        def show(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total)

        return tuple(again.replay(cases, model, host, units, show))


def _write(statement: Statement[Replay], signing: SigningKey, out: Path | None) -> None:
    out = out or Path(f"replay-{compact(statement.predicate.created)}.sigstore.json")
    bundle.write_file(out, sign(encoded(statement), signing))
    advise(f"signed result: {out}")


def _attestation(path: Path, case_id: str) -> bytes:
    folder = path / bundle.CASES / case_id
    return bundle.read_file(
        (folder if folder.is_dir() else path) / bundle.statement_name(bundle.ATTESTATION, signed=True)
    )


def _print(result: Replay) -> None:
    table = Table("case", "pieces", "largest difference", "result", box=None, pad_edge=False)
    for case in result.cases:
        largest = "–" if case.largest is None else f"{case.largest:.1e} nats (allowed {case.tolerance:g})"
        said = _IN_WORDS[case.outcome] + (f": {case.reason}" if case.reason else "")
        measured = str(len(case.units)) if case.largest is not None else "–"
        table.add_row(visible(case.id), measured, largest, Text(visible(said), overflow="fold"))
    stdout().print(table)
    advise("each piece that was measured again was chosen by this machine's randomness")
