"""Every kind of page that a reader can open, made of records without a model (tests/make_records.py)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import make_records as make
from attn_audit.evidence.findings import PairFinding, Rule
from attn_audit.evidence.measured import Warn
from attn_audit.evidence.records import Message
from attn_audit.evidence.statements import Redaction
from attn_audit.evidence.store import Measured, Sealed
from attn_audit.judge.difference import Side, Status, difference
from attn_audit.reports import diff_html, html

REASON = "the prompt has 9,000 tokens, and the model reads 8,192 at most"
# It has the fields of make_records.full_case, and is short, since what is tried on a page takes time for each piece.
SHORT = (
    Message(
        role="user",
        content="She is 34, lives in Riverton, earns 2,900 euros a month and missed two payments.\nApprove or refer?",
    ),
)
RULES = (
    Rule(rule="same_answer", held=False),
    Rule(rule="similar_map", limit=0.05, found=0.31, held=False),
)


def plain(messages: tuple[Message, ...] = SHORT, answer: str = make.ENGLISH_ANSWER) -> Measured:
    said = make.content(messages, answer)
    return said, make.evidence(said)


def unsupported() -> Measured:
    """Not signed, warned of, and its map no better than chance."""
    said = make.content(SHORT)
    measured = make.evidence(said, signer=None)
    warning = Warn(code="not-supported", sentence="The map is no better than chance.", advice="Try longer pieces.")
    checks = make.checks(measured.relevance, "not supported")
    return said, measured.model_copy(update={"checks": checks, "warnings": (warning,)})


def pair(policy: str = "the town changes nothing") -> PairFinding:
    return PairFinding(
        policy=policy, severity="fail", outcome="broken", rules=RULES, case_id="loan-1", pair_with="loan-2"
    )


def withheld(case_id: str, reason: str | None = "erasure asked for, ticket 7") -> Redaction:
    return Redaction(
        tool=make.TOOL,
        created="2026-11-21T10:00:00Z",
        signer=make.SIGNER,
        case_id=case_id,
        withheld=("content.json", "report.html"),
        reason=reason,
    )


def audit(
    cases: Mapping[str, Measured],
    *,
    failed: Mapping[str, str] | None = None,
    hidden: Mapping[str, Redaction] | None = None,
    pairs: tuple[PairFinding, ...] = (),
) -> Sealed:
    """The batch of ``cases``; ``failed``: reasons, ``hidden``: why content is not there, both by id."""
    plan, seal = make.batch(cases, failed=failed)
    sealed = make.sealed(plan, seal.model_copy(update={"pairs": pairs}), cases)
    kept = {name: case for name, case in cases.items() if name not in (hidden or {})}
    return Sealed(sealed.plan, sealed.seal, kept, sealed.evidence, hidden or {})


def side(cases: Mapping[str, Measured], name: str, apart: Mapping[str, Status], pairs: tuple[PairFinding, ...]) -> Side:
    plan, _ = make.batch(cases)
    statuses: dict[str, Status] = {**dict.fromkeys(cases, "finished"), **apart}
    return Side(name, plan, statuses, cases, {case_id: found for case_id, (_, found) in cases.items()}, pairs)


def diff(before: Side, after: Side) -> bytes:
    return diff_html.page(difference(before, after), top=5)


def batch() -> Sealed:
    """Finished, withheld and failed cases, policies of one case and of a pair, fields over all cases."""
    cases = {
        "loan-1": make.rich_case(SHORT),
        "loan-2": make.full_case(SHORT),
        "loan-3": plain(make.ARABIC, make.ARABIC_ANSWER),
    }
    hidden = {"gone": withheld("gone"), "gone-too": withheld("gone-too", None)}
    whole = cases | dict.fromkeys(hidden, plain())
    return audit(whole, failed={"long": REASON}, hidden=hidden, pairs=(pair(),))


def batch_index() -> bytes:
    return make.index_page(batch())


def page_of_index(name: str) -> bytes:
    """The index of the same batch, divided into three pages, which are listed in groups."""
    return make.divided(batch(), 2, listed=2)[name]


def two_audits() -> bytes:
    """Answers, pieces, policies and pairs that changed; a case that failed and one that is not there."""
    said, measured = make.rich_case(SHORT)
    other = make.content(SHORT, answer="Approve it.")
    before = side({"loan-1": (said, measured), "same": plain()}, "june", {"long": "failed", "new": "not there"}, ())
    after = side(
        {"loan-1": (other, make.evidence(other, findings=make.FINDINGS[1:])), "same": plain()},
        "july",
        {"long": "skipped", "new": "failed"},
        (pair(),),
    )
    return diff(before, after)


def of(case: Callable[[], Measured]) -> Callable[[], bytes]:
    return lambda: html.report(*case())


REPORTS: dict[str, Callable[[], Measured]] = {
    "supplied": lambda: make.rich_case(SHORT),
    "full": lambda: make.full_case(SHORT, contrast="Approve the application."),
    "unsupported": unsupported,
    "arabic": lambda: plain(make.ARABIC, make.ARABIC_ANSWER),
    "chinese": lambda: plain(make.CHINESE, make.CHINESE_ANSWER),
}
PAGES: dict[str, Callable[[], bytes]] = {
    **{name: of(case) for name, case in REPORTS.items()},
    "index": batch_index,
    "index-first": lambda: page_of_index("index.html"),
    "index-middle": lambda: page_of_index("index/0002.html"),
    "diff": two_audits,
}
