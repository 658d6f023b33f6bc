"""Plan, seal and redactions to ``VERIFY.md``: how a stranger verifies the audit without this program."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from attn_audit.evidence.statements import Plan, Redaction, Seal
from attn_audit.reports.templates import render

_NO_PUNCTUATION = str.maketrans("", "", "-:T")


@dataclass(frozen=True)
class _Signed:
    """As whom and when SHA256SUMS was signed; the time as ``ssh-keygen -O verify-time`` takes it."""

    principal: str
    time: str


def verify_page(plan: Plan, seal: Seal, withheld: Sequence[Redaction]) -> bytes:
    """The page. ``withheld``: in the order in which the cases were planned."""
    last = max(withheld, key=lambda one: one.created, default=None)
    signer, time = (seal.signer, seal.finished) if last is None else (last.signer, last.created)
    values = {
        "signer": seal.signer,
        "sums": _Signed("" if signer is None else signer.principal, time.translate(_NO_PUNCTUATION)),
        "planned": len(plan.cases),
        "ok": seal.ok,
        "withheld": withheld,
    }
    return render("verify.md.j2", values).encode()
