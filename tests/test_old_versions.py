"""Evidence that an earlier version wrote still verifies, and says that its pages were not drawn again."""

from __future__ import annotations

from pathlib import Path

import audits
from attn_audit.cases import read_cases
from attn_audit.evidence.trust import read_allowed_signers
from attn_audit.reports.exports import EXPORTS, makers
from attn_audit.verify import verify
from attn_audit.verify.asked import Asked

KEPT = Path(__file__).with_name("data") / "format-1"


def test_an_audit_of_an_earlier_version_verifies() -> None:
    trusted = read_allowed_signers(KEPT / "allowed_signers")
    found = verify(KEPT / "audit", trusted, Asked(cases=read_cases(KEPT / "cases.yaml")))
    assert audits.failures(found) == {}
    assert found.exit_code == 3, "one of its cases is withheld"
    assert {check.name for check in found.checks if check.detail == "view not compared: made by version 0.0.9"} == {
        "report",
        "index.html",
        "VERIFY.md",
        *makers(tuple(EXPORTS)),
    }
    assert verify(KEPT / "audit" / "cases" / "kept", trusted).exit_code == 0


def test_it_is_found_when_somebody_changes_it(tmp_path: Path) -> None:
    copy = audits.Audit(KEPT / "audit", KEPT / "none").copied_to(tmp_path / "audit")
    audits.flipped(copy.case("kept") / "evidence.json", 500, 1)
    assert verify(copy.out, read_allowed_signers(KEPT / "allowed_signers")).exit_code == 20
