"""A sealed audit to JUnit XML: a test case for each planned case, a failure for each policy that must hold and did not.

It holds no text of a case. Names of policies and reasons are other people's text: hidden characters, which XML cannot
hold either, are written out, and so is the mark by which GitLab and Jenkins attach files (attack 40).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from xml.etree import ElementTree

from attn_audit.evidence.checked import faithfulness_of
from attn_audit.evidence.findings import Finding, PairFinding
from attn_audit.evidence.measured import Evidence
from attn_audit.evidence.statements import Plan
from attn_audit.evidence.store import Sealed
from attn_audit.reports.checks import verdict_in_words
from attn_audit.reports.ended import Ended, cases, notes, unfinished, weight
from attn_audit.reports.findings import sentence
from attn_audit.reports.text import code_point, one_line

_LENGTH = 1_000
_NAME = "attn-audit"
_ATTACHED = re.compile(r"\[(?=\[)")


def results(sealed: Sealed) -> bytes:
    """The whole file. Raises EvidenceError where plan and seal do not name the same cases."""
    plan, seal = sealed.plan, sealed.seal
    source = plan.source or _NAME
    suite = ElementTree.Element("testsuite", {"name": _shown(source)})
    _properties(suite, _of_the_batch(sealed))
    seconds = 0.0
    failures = 0
    for case in cases(sealed):
        spent = 0.0 if case.evidence is None else _seconds(case.evidence)
        failures += any(weight(finding) == "fails" for finding in case.findings)
        seconds += spent
        suite.append(_case(case, plan, spent))
    counts = {
        "tests": str(len(seal.cases)),
        "failures": str(failures),
        "errors": str(seal.failed),
        "skipped": str(seal.skipped),
        "time": f"{seconds:.3f}",
    }
    for name, value in (*counts.items(), ("timestamp", _shown(seal.started))):
        suite.set(name, value)
    root = ElementTree.Element("testsuites", {"name": _NAME, **counts})
    root.append(suite)
    ElementTree.indent(root)
    data: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return data + b"\n"


def _of_the_batch(sealed: Sealed) -> dict[str, str]:
    plan, seal = sealed.plan, sealed.seal
    signer = seal.signer
    return {
        "plan.sha256": seal.plan,
        "model.name": plan.model_name,
        "model.root": plan.model_root,
        "tool.version": seal.tool.version,
        "signer.key_id": "unsigned" if signer is None else signer.key_id,
        "signer.principal": "unsigned" if signer is None else signer.principal,
    }


def _case(case: Ended, plan: Plan, seconds: float) -> ElementTree.Element:
    source = plan.source
    where = {} if source is None else {"file": _shown(source), "line": str(case.line)}
    attributes = {"classname": _class(source), "name": _shown(case.id), "time": f"{seconds:.3f}", **where}
    element = ElementTree.Element("testcase", attributes)
    digests = {"attestation.sha256": case.sealed.attestation or ""}
    digests |= {} if case.evidence is None else {"content.sha256": case.evidence.content}
    _properties(element, {name: value for name, value in digests.items() if value})
    if case.evidence is None:
        kind = "error" if case.sealed.status == "failed" else "skipped"
        _told(element, kind, case.sealed.status, unfinished(case.sealed))
    for finding in case.findings:
        if weight(finding) == "fails":
            kind = "pair" if isinstance(finding, PairFinding) else "policy"
            _told(element, "failure", f"{kind} {finding.outcome}", _in_words(finding))
    if lines := tuple(_shown(line) for line in _remarks(case)):
        ElementTree.SubElement(element, "system-out").text = "\n".join(lines)
    return element


def _told(element: ElementTree.Element, tag: str, kind: str, said: str) -> None:
    """GitLab shows the text of the element, Jenkins its message as well; so both say the same."""
    shown = _shown(said)
    attributes = {"message": shown} if tag == "skipped" else {"type": kind, "message": shown}
    ElementTree.SubElement(element, tag, attributes).text = shown


def _remarks(case: Ended) -> Iterator[str]:
    """What does not fail the case."""
    for finding in case.findings:
        if weight(finding) == "warns":
            yield f"warning: {_in_words(finding)}"
    if case.evidence is None:
        return
    if faithfulness_of(case.evidence.checks) != "supported":
        yield f"faithfulness: {verdict_in_words(case.evidence)}"
    yield from (f"note: {warning.code}: {warning.sentence}" for warning in notes(case.evidence))
    if case.withheld:
        yield "note: the content of this case is withheld"


def _in_words(finding: Finding) -> str:
    return f"policy {finding.policy}: {sentence(finding)}"


def _properties(element: ElementTree.Element, values: Mapping[str, str]) -> None:
    if values:
        found = ElementTree.SubElement(element, "properties")
        for name, value in values.items():
            ElementTree.SubElement(found, "property", {"name": name, "value": _shown(value)})


def _class(source: str | None) -> str:
    """``cases/loans.yaml`` as ``cases.loans``, as tests of other kinds are called."""
    path = PurePosixPath(_shown(source or _NAME))
    return ".".join(part for part in (*path.parent.parts, path.stem) if part.strip("/")) or _NAME


def _seconds(evidence: Evidence) -> float:
    return evidence.run.seconds_answer + evidence.run.seconds_sweep + evidence.run.seconds_checks


def _shown(text: str) -> str:
    # "[[ATTACHMENT|path]]" in a test's output makes GitLab and Jenkins offer that file.
    return _ATTACHED.sub(code_point("["), one_line(text, _LENGTH))
