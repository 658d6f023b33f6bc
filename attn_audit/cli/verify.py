"""``attn-audit verify``: every check on an audit, listed, and an exit code that says the outcome."""

from __future__ import annotations

import re
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from textwrap import indent
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.text import Text

from attn_audit.cases import read_cases
from attn_audit.cli.console import data, stderr, stdout
from attn_audit.cli.targets import check_folder
from attn_audit.cli.verified import checks_table
from attn_audit.evidence import bundle
from attn_audit.evidence.errors import UsageError
from attn_audit.evidence.trust import TrustedKey, read_allowed_signers, read_public_key, without_revoked
from attn_audit.host import this_host
from attn_audit.reports.jsonlines import for_log
from attn_audit.reports.text import visible
from attn_audit.verify import verify as verify_audit
from attn_audit.verify.asked import Asked
from attn_audit.verify.cases import Work
from attn_audit.verify.report import Report

_MANY = 20  # cases for which a bar is drawn
_VERDICTS = {
    0: "VERIFIED: nothing was changed since it was signed by a key you trust",
    3: "VERIFIED, CONTENT WITHHELD: what is there is genuine, but {withheld} of {cases} cases hold no content any more",
    20: "NOT VERIFIED: something is not what was signed",
    21: "NOT VERIFIED: no trusted signer",
    22: "NOT VERIFIED: the batch is not the planned one, or not the one that was asked for",
    23: "NOT VERIFIED: it was measured on another model",
}

Trust = Annotated[Path | None, typer.Option(metavar="FILE", help="An OpenSSH allowed_signers file: whom you trust.")]
PublicKey = Annotated[Path | None, typer.Option(metavar="FILE", help="One public key that you trust, PEM or OpenSSH.")]


def verify(
    path: Annotated[Path, typer.Argument(help="An audit folder, or one case inside it.")],
    trust: Trust = None,
    public_key: PublicKey = None,
    revoked: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Public keys that are trusted no more, one a line, as ssh-keygen takes them."
        ),
    ] = None,
    expect_cases: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="The case file that must have been run: every case, in order, byte for byte (22)."
        ),
    ] = None,
    expect_model: Annotated[
        str | None, typer.Option(metavar="SHA256", help="The root of the model that must have been measured (23).")
    ] = None,
    require_default_method: Annotated[
        bool,
        typer.Option(
            "--require-default-method", help="Fail where the method was changed (22); otherwise it is a note."
        ),
    ] = False,
    max_age: Annotated[
        str | None,
        typer.Option(metavar="AGE", help="Fail where a case is older by its own time (22), like 30d, 12h or 45m."),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="PATH",
            help="The model: its files must be the recorded ones (23), and by its own tokenizer the text of each case "
            "must give the recorded tokens (20). Needs the model library, unlike all else here.",
        ),
    ] = None,
    no_rerender: Annotated[
        bool, typer.Option("--no-rerender", help="Do not draw the reports again; the notes say so.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print all results as JSON.")] = False,
) -> None:
    """Check an audit, or one case inside it, against the keys you trust, and list all results. Needs no model."""
    trusted = trusted_keys(trust, public_key)
    asked = Asked(
        cases=None if expect_cases is None else read_cases(expect_cases),
        model=None if expect_model is None else _digest(expect_model),
        default_method=require_default_method,
        since=None if max_age is None else _since(max_age, this_host(None).clock()),
        views=not no_rerender,
    )
    report = watched(check_folder(path), trusted if revoked is None else without_revoked(trusted, revoked), asked)
    if model is not None:
        _check_model(report, path, model)
    if as_json:
        _print_json(report)
    else:
        _print(report)
    raise typer.Exit(report.exit_code)


def _check_model(report: Report, path: Path, model: str) -> None:
    from attn_audit.measure.model import locate  # noqa: PLC0415 - the model's libraries are needed only here
    from attn_audit.replay import check_retold  # noqa: PLC0415

    located = locate(model)
    check_retold(report, located, "batch" if (path / bundle.CASES).is_dir() else path.resolve().name)


def watched(path: Path, trusted: tuple[TrustedKey, ...], asked: Asked) -> Report:
    """Verify by all processors, with a bar on a terminal. Raises UsageError."""
    columns = (TextColumn("checking cases"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=stderr(), disable=not stderr().is_terminal, transient=True) as progress:
        task = progress.add_task("", visible=False)

        def show(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total, visible=total >= _MANY)

        return verify_audit(path, trusted, asked, Work(this_host(None).threads, show))


def _digest(text: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{64}", text):
        raise UsageError(f"--expect-model {visible(text)[:80]} is refused: give the 64 digits of a root")
    return text


def _since(age: str, now: datetime) -> datetime:
    """The moment before which an audit is older than that. Raises UsageError."""
    found = re.fullmatch(r"([0-9]{1,6})([dhm])", age, re.ASCII)
    if found is None:
        raise UsageError(f"--max-age {visible(age)[:40]} is refused: give days, hours or minutes, like 30d, 12h or 45m")
    spans = {"d": timedelta(days=1), "h": timedelta(hours=1), "m": timedelta(minutes=1)}
    try:
        return now.astimezone(UTC) - int(found[1]) * spans[found[2]]
    except OverflowError:
        return datetime.min.replace(tzinfo=UTC)


def trusted_keys(trust: Path | None, public_key: Path | None) -> tuple[TrustedKey, ...]:
    """Whom the reader trusts. Raises UsageError where it is not said, or twice."""
    if trust is not None and public_key is None:
        return read_allowed_signers(trust)
    if public_key is not None and trust is None:
        return read_public_key(public_key)
    raise UsageError("say whom you trust: --trust FILE (allowed_signers) or --public-key FILE, one of the two")


def _print(report: Report) -> None:
    stdout().print(checks_table(report))
    failed = sum(check.outcome == "failed" for check in report.checks)
    stdout().print(f"{len(report.checks)} results, {failed} failed")
    stdout().print(Text(_verdict(report), "bold red" if report.exit_code else "bold green"))


def _print_json(report: Report) -> None:
    """One JSON object, of which no more than a check is in memory at a time."""
    said = {"exit_code": report.exit_code, "verdict": _verdict(report), "checks": []}
    data(for_log(said, indent=2).removesuffix("]\n}"))
    for number, check in enumerate(report.checks, start=1):
        lines = indent(for_log(asdict(check), indent=2), "    ")
        data(lines if number == len(report.checks) else f"{lines},")
    data("  ]\n}")


def _verdict(report: Report) -> str:
    """One sentence; a batch that is genuine and not whole is not called plainly verified."""
    alone = any(check.name in {"one case", "batch"} and check.outcome == "note" for check in report.checks)
    if report.exit_code == 0 and alone:
        return "VERIFIED, ONE CASE: it is genuine; the other cases of its batch are not here"
    unfinished = sum((check.name, check.outcome) == ("status", "note") for check in report.checks)
    if report.exit_code == 0 and unfinished:
        return f"VERIFIED, INCOMPLETE: what is there is genuine, but failed or skipped: {unfinished}"
    return _VERDICTS[report.exit_code].format(withheld=len(report.withheld), cases=len(report.evidence))
