"""Plan, seal and redactions to ``VERIFY.md``: how a stranger verifies the audit without this program."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from attn_audit.evidence.host import compact
from attn_audit.evidence.statements import Plan, Redaction, Seal, last_change
from attn_audit.reports.templates import render


@dataclass(frozen=True)
class _Signed:
    """As whom and when SHA256SUMS was signed; the time as ``ssh-keygen -O verify-time`` takes it."""

    principal: str
    time: str


def verify_page(plan: Plan, seal: Seal, withheld: Sequence[Redaction], *, alone: bool) -> bytes:
    """The page. ``withheld``: of the cases that are here, in the order in which they were planned; ``alone``: one case
    was handed over, without what speaks of the whole batch."""
    signer, time = last_change(seal, withheld)
    values = {
        "signer": seal.signer,
        "sums": _Signed("" if signer is None else signer.principal, compact(time).replace("T", "")),
        "others": tuple({one.signer.key_id: one.signer for one in withheld if one.signer != seal.signer}.values()),
        "planned": len(plan.cases),
        "ok": seal.ok,
        "withheld": withheld,
        "alone": alone,
    }
    return render("verify.md.j2", values).encode()
