"""``attn-audit verify``: every check on an audit, listed, and an exit code that says the outcome."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from attn_audit.cli.console import stdout
from attn_audit.evidence.errors import UsageError
from attn_audit.evidence.trust import TrustedKey, read_allowed_signers, read_public_key
from attn_audit.reports.text import visible
from attn_audit.verify import verify as verify_audit
from attn_audit.verify.report import Report

_STYLES = {"ok": "green", "failed": "bold red", "note": "yellow"}
_VERDICTS = {
    0: "VERIFIED: nothing was changed since it was signed by a key you trust",
    20: "NOT VERIFIED: something is not what was signed",
    21: "NOT VERIFIED: no trusted signer",
    22: "NOT VERIFIED: the batch is not the planned one",
}


def verify(
    path: Annotated[Path, typer.Argument(help="An audit folder, or one case inside it.")],
    trust: Annotated[Path | None, typer.Option(help="An OpenSSH allowed_signers file: whom you trust.")] = None,
    public_key: Annotated[Path | None, typer.Option(help="One public key (PEM or OpenSSH) that you trust.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print all checks as JSON.")] = False,
) -> None:
    """Check an audit against the keys you trust. Needs no model."""
    report = verify_audit(path, trusted_keys(trust, public_key))
    if as_json:
        checks = [asdict(check) for check in report.checks]
        said = {"exit_code": report.exit_code, "verdict": _verdict(report), "checks": checks}
        typer.echo(json.dumps(said, indent=2))
    else:
        _print(report)
    raise typer.Exit(report.exit_code)


def trusted_keys(trust: Path | None, public_key: Path | None) -> tuple[TrustedKey, ...]:
    """Whom the reader trusts. Raises UsageError where it is not said, or twice."""
    if trust is not None and public_key is None:
        return read_allowed_signers(trust)
    if public_key is not None and trust is None:
        return read_public_key(public_key)
    raise UsageError("say whom you trust: --trust FILE (allowed_signers) or --public-key FILE, one of the two")


def _print(report: Report) -> None:
    """What passed in one row a subject; each failure and each thing to know in a row of its own."""
    table = Table("what", "result", "checks", box=None, pad_edge=False)
    for subject in dict.fromkeys(check.subject for check in report.checks):
        checks = [check for check in report.checks if check.subject == subject]
        if passed := [check.name for check in checks if check.outcome == "ok"]:
            table.add_row(visible(subject), Text("ok", _STYLES["ok"]), ", ".join(passed))
        for check in checks:
            if check.outcome != "ok":
                said = Text(visible(f"{check.name}: {check.detail}"), overflow="fold")
                table.add_row(visible(subject), Text(check.outcome, _STYLES[check.outcome]), said)
    stdout().print(table)
    failed = sum(check.outcome == "failed" for check in report.checks)
    stdout().print(f"{len(report.checks)} results, {failed} failed")
    stdout().print(Text(_verdict(report), "bold red" if report.exit_code else "bold green"))


def _verdict(report: Report) -> str:
    """One sentence; a batch that is genuine and not whole is not called plainly verified."""
    unfinished = sum((check.name, check.outcome) == ("status", "note") for check in report.checks)
    if report.exit_code == 0 and unfinished:
        return f"VERIFIED, INCOMPLETE: what is there is genuine, but {unfinished} cases failed or were skipped"
    return _VERDICTS[report.exit_code]
