"""A sealed audit to SARIF 2.1.0 (OASIS): a result for each policy that did not hold, each case that did not finish and
each warning, at the line of the case in its case file. It holds no text of a case."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal
from urllib.parse import quote

from attn_audit.evidence.checked import faithfulness_of
from attn_audit.evidence.digest import sha256
from attn_audit.evidence.findings import Finding, PairFinding
from attn_audit.evidence.store import Sealed
from attn_audit.reports.checks import verdict_in_words
from attn_audit.reports.ended import NOTES, Ended, cases, notes, unfinished, weight
from attn_audit.reports.findings import sentence
from attn_audit.reports.text import code_point, one_line

Level = Literal["error", "warning", "note"]
_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_LENGTH = 1_000
_NOT_NAMED = re.compile(r"[^a-z0-9]+")
# In the text of a message "[words](target)" is a link and "{0}" stands for an argument (SARIF 3.11.5 and 3.11.6).
_SPECIAL = re.compile(r"(?<=\])\(|\{(?=\d)")
_NO_RESULTS = b'"results": []'  # which no text in the file can hold: its quotation marks are escaped
_CASE_FAILED, _FAITHFULNESS = "case-failed", "faithfulness"
_LEVELS: Mapping[str, Level] = {"fails": "error", "warns": "warning"}


def results(sealed: Sealed) -> bytes:
    """The whole file, in ASCII. Raises EvidenceError where plan and seal do not name the same cases."""
    plan, seal = sealed.plan, sealed.seal
    rules = {rule["id"]: rule for rule in _fixed_rules()}
    numbers = {rule: number for number, rule in enumerate(rules)}
    found: list[bytes] = []
    for case in cases(sealed):
        for rule in map(_policy_rule, case.findings):
            rules[rule["id"]] = rule
            numbers.setdefault(rule["id"], len(numbers))
        found += (_encoded({**one, "ruleIndex": numbers[one["ruleId"]]}, 4) for one in _results(case, plan.source))
    run = {
        "tool": {"driver": {"name": "attn-audit", "version": seal.tool.version, "rules": list(rules.values())}},
        "invocations": [
            {
                "executionSuccessful": seal.ok == len(seal.cases),
                "startTimeUtc": seal.started,
                "endTimeUtc": seal.finished,
            }
        ],
        "columnKind": "unicodeCodePoints",
        "results": [],
        "properties": {
            "plan": seal.plan,
            "modelName": _shown(plan.model_name),
            "modelRoot": plan.model_root,
            "signerKeyId": None if seal.signer is None else seal.signer.key_id,
            "signerPrincipal": None if seal.signer is None else _shown(seal.signer.principal),
            "cases": {"ok": seal.ok, "failed": seal.failed, "skipped": seal.skipped},
        },
    }
    # The results are put in as bytes: as values, all at once, they take six times as much memory as their text.
    before, after = _encoded({"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}, 0).split(_NO_RESULTS)
    return b"".join((before, b'"results": ', *_array(found), after, b"\n"))


def _encoded(value: dict[str, Any], depth: int) -> bytes:
    """As it stands so many levels deep in the file."""
    text = json.dumps(value, indent=2, ensure_ascii=True, allow_nan=False)
    return text.replace("\n", "\n" + depth * "  ").encode("ascii")


def _array(values: list[bytes]) -> Iterator[bytes]:
    """Of values that were encoded four levels deep, in parts."""
    begin, end = b"\n" + 8 * b" ", b"\n" + 6 * b" "
    for number, value in enumerate(values):
        yield from (b"," if number else b"[", begin, value)
    yield end + b"]" if values else b"[]"


def _fixed_rules() -> Iterator[dict[str, Any]]:
    yield _rule(_CASE_FAILED, "A case was not finished", "Nothing can be said of it.", "error")
    yield _rule(
        _FAITHFULNESS,
        "The map is not supported",
        "Deleting the highest pieces from the text did not lower the answer's probability clearly more than deleting "
        "random ones, or that was not tried.",
        "warning",
    )
    for note in NOTES:
        yield _rule(note.code, note.sentence, note.advice, "note")


def _policy_rule(finding: Finding) -> dict[str, Any]:
    """By the name of the policy alone, so that it is the same in each audit of each case."""
    level: Level = "error" if finding.severity == "fail" else "warning"
    kind = "pair of cases" if isinstance(finding, PairFinding) else "case"
    return _rule(
        _policy_id(finding),
        f"Policy: {finding.policy}",
        f"A policy of the case file on what may drive the answer of a {kind}.",
        level,
    )


def _policy_id(finding: Finding) -> str:
    words = _NOT_NAMED.sub("-", finding.policy.lower()).strip("-")[:60]
    kind = "pair" if isinstance(finding, PairFinding) else "policy"
    return f"{kind}/{words + '-' if words else ''}{_short_digest(finding.policy)}"


def _rule(name: str, title: str, more: str, level: Level) -> dict[str, Any]:
    return {
        "id": name,
        "shortDescription": {"text": _shown(title)},
        "fullDescription": {"text": _shown(more)},
        "help": {"text": _shown(more)},
        "defaultConfiguration": {"level": level},
    }


def _results(case: Ended, source: str | None) -> Iterator[dict[str, Any]]:
    where = _location(case, source)
    digests = {"attestation": case.sealed.attestation}
    if case.evidence is None:
        yield _result(case.id, _CASE_FAILED, "error", unfinished(case.sealed), where)
    else:
        digests["content"] = case.evidence.content
    for finding in case.findings:
        if weight(finding) == "holds":
            continue
        said = f"policy {finding.policy}: {sentence(finding)}"
        result = _result(case.id, _policy_id(finding), _LEVELS[weight(finding)], said, where)
        rules = [rule.model_dump(mode="json") for rule in finding.rules]
        yield {**result, "properties": {**digests, "outcome": finding.outcome, "rules": rules}}
    yield from ({**result, "properties": digests} for result in _of_the_map(case, where))


def _of_the_map(case: Ended, where: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if case.evidence is None:
        return
    verdict = faithfulness_of(case.evidence.checks)
    if verdict != "supported":
        # That it was not tried, or could not be told, is less than that it was tried and failed.
        level: Level = "warning" if verdict == "not supported" else "note"
        yield _result(case.id, _FAITHFULNESS, level, f"faithfulness: {verdict_in_words(case.evidence)}", where)
    for note in notes(case.evidence):
        yield _result(case.id, note.code, "note", f"{note.sentence} {note.advice}", where)


def _result(case_id: str, rule: str, level: Level, said: str, where: dict[str, Any]) -> dict[str, Any]:
    return {
        "ruleId": rule,
        "level": level,
        "message": {"text": f"{_shown(case_id)}: {_shown(said)}"},
        "locations": [where],
        # Not the name that GitHub's own upload fills in: its value is of the line's text, and others are warned about.
        "partialFingerprints": {"caseAndRule/v1": sha256(f"{case_id}\n{rule}".encode("utf-8", "replace"))},
    }


def _location(case: Ended, source: str | None) -> dict[str, Any]:
    """The case's entry in the case file; a question that came without a file has its name alone."""
    logical: dict[str, Any] = {"logicalLocations": [{"fullyQualifiedName": _shown(case.id)}]}
    if source is None:
        return logical
    place = {
        "artifactLocation": {"uri": quote(source, safe="/", errors="replace"), "uriBaseId": "%SRCROOT%"},
        "region": {"startLine": case.line},
    }
    return {"physicalLocation": place, **logical}


def _short_digest(text: str) -> str:
    return sha256(text.encode("utf-8", "replace"))[:8]


def _shown(text: str) -> str:
    return _SPECIAL.sub(lambda found: code_point(found.group()), one_line(text, _LENGTH))
