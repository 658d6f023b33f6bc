"""The page of a batch: findings first, every case reachable, and a strip for each that shows the whole input."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import make_records as make
from attn_audit.evidence.findings import PairFinding, Rule
from attn_audit.evidence.measured import Evidence, Warn
from attn_audit.evidence.records import Content, Message
from attn_audit.evidence.statements import Redaction
from attn_audit.evidence.store import Sealed

CERTAIN = Warn(code="near-certain", sentence="The answer was nearly certain.", advice="Name a contrast.")


def case(case_id: str, verdict: str | None = None, **changes: Any) -> tuple[Content, Evidence]:
    content = make.content(case={"id": case_id})
    evidence = make.evidence(content, **changes)
    checks = None if verdict is None else make.checks(evidence.relevance, verdict)
    return content, evidence.model_copy(update={"checks": checks})


def named(found: tuple[Content, Evidence], case_id: str) -> tuple[Content, Evidence]:
    """The same under another id."""
    content, evidence = found
    renamed = content.model_copy(update={"case": content.case.model_copy(update={"id": case_id})})
    return renamed, evidence.model_copy(update={"case_id": case_id})


def varied() -> Sealed:
    """A batch with one of everything."""
    cases = {
        "loan-1": case("loan-1", "supported"),
        "doubtful": case("doubtful", "not supported"),
        "full": named(make.full_case(), "full"),
        "rich": named(make.rich_case(), "rich"),
        "arabic": named(of_text(make.ARABIC, make.ARABIC_ANSWER), "arabic"),
        "chinese": named(of_text(make.CHINESE, make.CHINESE_ANSWER), "chinese"),
        "hostile": named(of_text(make.HOSTILE, make.HOSTILE_ANSWER), "hostile"),
        "long": named(of_text(long_text(700), make.STEPS), "long"),
        "certain": case("certain", "cannot tell", warnings=(CERTAIN,)),
        "secret": case("secret", findings=make.FINDINGS, warnings=(CERTAIN,)),
    }
    plan, seal = make.batch(cases, failed={"too-long": TOO_LONG, "too-long-2": TOO_LONG, "odd": "no {{7*7}} <b>"})
    seal = seal.model_copy(update={"pairs": PAIRS, "skipped": 1, "failed": 2})
    last = seal.cases[-1].model_copy(update={"status": "skipped", "reason": "stopped by SIGTERM"})
    seal = seal.model_copy(update={"cases": (*seal.cases[:-1], last)})
    return withholding(plan, seal, cases, "secret")


TOO_LONG = "the prompt has 9,214 tokens, and the model reads 8,192"
PAIRS = tuple(
    PairFinding(
        policy="postcode makes no difference",
        severity="fail",
        outcome=outcome,
        case_id="loan-1",
        pair_with=other,
        rules=(Rule(rule="same_answer", held=held), Rule(rule="similar_map", limit=0.2, found=0.31, held=False)),
    )
    for outcome, other, held in (("broken", "certain", False), ("held", "rich", True))
)


def of_text(messages: Any, answer: str) -> tuple[Content, Evidence]:
    content = make.content(messages, answer)
    return content, make.evidence(content)


def long_text(words: int) -> tuple[Message, ...]:
    return (Message(role="user", content=" ".join(f"word{n}" for n in range(words))),)


def withholding(plan: Any, seal: Any, cases: Mapping[str, tuple[Content, Evidence]], case_id: str) -> Sealed:
    """The batch with the content of one case gone."""
    whole = make.sealed(plan, seal, cases)
    redaction = Redaction(
        tool=make.TOOL,
        created="2026-11-21T09:00:00Z",
        signer=make.SIGNER,
        case_id=case_id,
        withheld=("content.json", "report.html"),
        reason="ticket 7",
    )
    left = {name: found for name, found in cases.items() if name != case_id}
    return Sealed(plan, seal, left, whole.evidence, {case_id: redaction})


def clean() -> Sealed:
    cases = {f"loan-{n}": case(f"loan-{n}", "supported") for n in range(1, 4)}
    return make.sealed(*make.batch(cases), cases)


def empty() -> Sealed:
    return make.sealed(*make.batch({}, failed={"one": TOO_LONG, "two": "out of memory"}), {})


PAGES: dict[str, Callable[[], Sealed]] = {"varied": varied, "clean": clean, "empty": empty}
