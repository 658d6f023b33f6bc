"""sample_cases/known_truth.yaml on the real model, with full checks: the report says in words what is known."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

import audits
from attn_audit.evidence.measured import Evidence
from attn_audit.evidence.records import Content
from attn_audit.judge.joint import MUCH
from attn_audit.reports import html
from attn_audit.reports.ranking import TOP

pytestmark = [pytest.mark.model, pytest.mark.slow]


@pytest.fixture(scope="module")
def truth(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> audits.Audit:
    folder = tmp_path_factory.mktemp("truth")
    private = audits.key(folder)
    cases = (repository / "sample_cases/known_truth.yaml").read_text(encoding="utf-8")
    return audits.Audit(audits.make(folder, Path("smollm2"), private, cases=cases).out, private)


def said(audit: audits.Audit, case_id: str) -> tuple[Content, Evidence, str]:
    """The records of a case, and the text of its report without tags."""
    content, evidence = audits.content_of(audit.case(case_id)), audits.evidence_of(audit.case(case_id))
    return content, evidence, re.sub(r"<[^>]+>", "", html.report(content, evidence).decode())


def texts(content: Content, evidence: Evidence, units: tuple[int, ...]) -> set[str]:
    spans = (span for unit in units for span in evidence.units[unit].spans)
    return {content.case.messages[span.message].content[span.start : span.end] for span in spans}


def named(evidence: Evidence, name: str) -> int:
    return next(index for index, unit in enumerate(evidence.units) if unit.name == name)


def place(evidence: Evidence, unit: int) -> int:
    value = evidence.relevance[unit] or 0.0
    return 1 + sum(other is not None and other > value for other in evidence.relevance)


def row(page: str, pieces: Callable[[str], bool]) -> str:
    """The sentence about pieces that were hidden together."""
    found = re.findall(r"([^\n]*)These \d+ pieces ([^.:]*[.:][^.]*)", page)
    return next(sentence for before, sentence in found if pieces(before))


def test_the_audit_verifies(truth: audits.Audit) -> None:
    assert audits.report(truth).exit_code == 0


def test_the_same_clue_twice_looks_weak_alone_and_decides_together(truth: audits.Audit) -> None:
    content, evidence, page = said(truth, "same-clue-twice")
    assert evidence.checks is not None
    codes = next(joint for joint in evidence.checks.repeated if texts(content, evidence, joint.units) == {"7143."})
    assert max(evidence.relevance[unit] or 0.0 for unit in codes.units) < 2
    assert codes.together > 5
    assert "carry the same information" in row(page, lambda pieces: pieces.count("7143.") == 2)
    assert "Warning (stand-in):" in page


def test_two_clues_that_are_needed_together(truth: audits.Audit) -> None:
    content, evidence, page = said(truth, "two-clues-needed")
    assert evidence.checks is not None
    assert evidence.checks.together is not None
    pairs = [pair.units for pair in evidence.checks.together.pairs]
    assert {"Bella", "Oslo."} in [texts(content, evidence, pair) for pair in pairs]
    assert "are needed together" in row(page, lambda pieces: "Bella" in pieces and "Oslo." in pieces)


def test_an_injected_instruction_is_among_what_drove_the_answer_most(truth: audits.Audit) -> None:
    _, evidence, page = said(truth, "injected-instruction")
    assert place(evidence, named(evidence, "instruction")) <= TOP
    assert re.search(r"named instruction.*among what drove the answer most", page)


def test_an_irrelevant_distractor_hardly_mattered(truth: audits.Audit) -> None:
    _, evidence, page = said(truth, "irrelevant-distractor")
    assert abs(evidence.relevance[named(evidence, "oranges")] or 0.0) < MUCH
    assert re.search(r"named oranges.*hardly mattered alone", page)
