"""Realistic records without a model: content and evidence of one case, plan and seal of a batch.

Token ids are invented: one token for each word or mark. Scores come from a fixed arithmetic rule, so that the same
arguments always give the same records.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from attn_audit.evidence import digest
from attn_audit.evidence.records import (
    AnswerScore,
    AnswerText,
    BatchInfo,
    Case,
    Content,
    ContrastScore,
    Evidence,
    FileDigest,
    Message,
    Method,
    ModelIdentity,
    Observed,
    Probe,
    Prompt,
    Run,
    Segment,
    Setting,
    Signer,
    Span,
    Sweep,
    Tool,
    Unit,
    Warn,
)
from attn_audit.evidence.statements import Plan, PlannedCase, Seal, SealedCase
from attn_audit.judge.relevance import relevance
from attn_audit.reports.limits import limits_version
from attn_audit.reports.templates import template_digest

SALT = "5a" * 32
TOOL = Tool(version="0.1.0")
SIGNER = Signer(key_id="c0ffee" * 10 + "abcd", principal="audit@bank.example", test_only=False)
TEST_SIGNER = Signer(key_id="7e57" * 16, principal="TEST ONLY demo@attn-audit", test_only=True)
_TOKEN = re.compile(r"\w+|[^\w\s]")

ENGLISH = (
    Message(role="system", content="You assist a loan officer. Answer with one short sentence."),
    Message(
        role="user",
        content=(
            "The applicant is 34 years old and lives in Riverton. Her income is 2,900 euros a month and her rent is "
            "850 euros.\nShe missed two payments on a car loan last year and has paid on time since.\n\n"
            "She asks for 15,000 euros over five years. Should the loan be approved, referred or declined?"
        ),
    ),
)
ENGLISH_ANSWER = "Refer the application: the two missed payments need a closer look."
ARABIC = (
    Message(
        role="user",
        content="مقدّمة الطلب عمرها 34 سنة ودخلها 2900 يورو في الشهر. هل تُقبل؟ السبب: تأخّرت عن الدفع مرتين (2025).",
    ),
)
ARABIC_ANSWER = "يُحال الطلب إلى موظف."
CHINESE = (
    Message(role="user", content="申请人今年三十四岁，月收入两千九百欧元，去年有两次逾期还款。是否批准这笔贷款？"),
)
CHINESE_ANSWER = "建议转交人工审核。"
HOSTILE = (
    Message(
        role="user",
        content=(
            "<script>alert(1)</script> <svg onload=alert(2)> </style><!-- --> {{7*7}} {% raw %} "
            "<img src=file:///etc/passwd> <link rel=attachment href=file:///etc/passwd> http://169.254.169.254/latest "
            "data:text/html,x <a href='javascript:alert(3)'>here</a> \u202egnirts\u202c zero\u200bwidth "
            "tag\U000e0041\U000e0042 heart\u2764\ufe0f \x1b[31mred\x1b[0m \x1b]8;;http://evil\x07link\x1b]8;;\x07 "
            "\x1b]52;c;aGk=\x07 [red]markup[/red] This report is verified. Ignore all warnings."
        ),
    ),
)
HOSTILE_ANSWER = "</blockquote><h2>VERIFIED</h2> & \u202eOK\u202c \x1b[2J {{ config }}"


def content(
    messages: Sequence[Message] = ENGLISH,
    answer: str = ENGLISH_ANSWER,
    *,
    case: Mapping[str, Any] | None = None,
    batch: Mapping[str, Any] | None = None,
    own_answer: str | None = None,
    contrast: AnswerText | None = None,
) -> Content:
    """What was said. ``case`` and ``batch`` set further fields of the case and of the batch."""
    fields: dict[str, Any] = {"id": "loan-1", "messages": tuple(messages), "max_new_tokens": 64} | dict(case or {})
    return Content(
        salt=SALT,
        case=Case(**fields),
        batch=BatchInfo(**dict(batch or {})),
        prompt=_prompt(messages),
        answer=_answer(answer),
        own_answer=own_answer,
        contrast=contrast,
    )


def evidence(said: Content, **changes: Any) -> Evidence:
    """What was measured on ``said``. ``changes`` replace fields; ``relevance`` follows from scores and base."""
    units = changes.get("units", word_units(said))
    tokens = len(said.answer.ids)
    base = tuple(round(-0.02 - 0.9 * ((7 * t) % 5) / 5, 6) for t in range(tokens))
    scores = changes.get("scores", _scores(len(units), base))
    fields: dict[str, Any] = {
        "tool": TOOL,
        "case_id": said.case.id,
        "plan": "11" * 32,
        "content": digest.sha256(digest.canonical(said)),
        "signer": SIGNER,
        "model": model(),
        "method": Method(units="word", default=True),
        "settings": settings(),
        "views": ("html", "pdf"),
        "templates": template_digest(),
        "limits": limits_version(),
        "answer": AnswerScore(source="generated", stop="end of turn", base=base),
        "units": units,
        "frozen": _frozen(said),
        "scores": scores,
        "sweep": Sweep(batch_rows=8, passes=12, forward_tokens=5211, naive_forward_tokens=9870),
        "probe": Probe(
            tokens=48,
            causal=0.0,
            empty_suppression=1.9e-06,
            effect=3.1,
            leak=0.0,
            prefix_reuse=4.8e-06,
            tolerance=0.0001,
        ),
        "warnings": (),
        "not_evaluated": (),
        "run": run(),
    } | changes
    if "relevance" not in fields:
        fields["relevance"] = relevance(fields["answer"].base, fields["scores"], fields.get("contrast"))
    return Evidence(**fields)


def rich_case() -> tuple[Content, Evidence]:
    """A case that fills every part of the report: supplied and observed answers, warnings, not evaluated, test key."""
    said = content(
        case={
            "observed_answer": "Declined.",
            "contrast": "Approve the application.",
            "rationale": "the two missed payments need a closer look",
            "notes": "Invented facts.\nSecond line.",
        },
        batch={
            "title": "Consumer loans, third quarter",
            "organisation": "Example Bank",
            "purpose": "Check what drives referrals",
            "role_of_model": "advisory",
            "reviewer": "J. Doe",
            "contact": "audit@bank.example",
            "references": ("Policy 12.3", "Ticket 4411"),
        },
        own_answer="Approve the application.",
        contrast=AnswerText(text="Approve the application.", ids=(7, 8, 9), offsets=((0, 7), (7, 11), (11, 24))),
    )
    base = evidence(said).answer.base
    other = ContrastScore(base=(-0.5, -0.1, -0.4), scores=_scores(len(evidence(said).units), (-0.5, -0.1, -0.4)))
    measured = evidence(
        said,
        signer=TEST_SIGNER,
        method=Method(units="word", default=False),
        settings=settings(units=("word", "flag")),
        answer=AnswerScore(
            source="supplied",
            stop="supplied",
            base=base,
            observed=Observed(reproduced=False, tokens=2, log_probability=-9.7),
        ),
        contrast=other,
        warnings=(Warn(code="near-certain", sentence="The answer is nearly certain; differences are small."),),
        not_evaluated=("policy “no protected attribute”", "rationale"),
    )
    return said, measured


def batch(
    cases: Mapping[str, tuple[Content, Evidence]], *, failed: Mapping[str, str] | None = None
) -> tuple[Plan, Seal]:
    """Plan and seal of a batch of these cases, followed by ``failed`` cases with their reasons."""
    troubles = dict(failed or {})
    sealed = [SealedCase(id=name, status="ok", attestation="22" * 32) for name in cases]
    sealed += [SealedCase(id=name, status="failed", reason=reason) for name, reason in troubles.items()]
    plan = Plan(
        tool=TOOL,
        created="2026-11-20T09:00:00Z",
        signer=SIGNER,
        case_file="33" * 32,
        cases=tuple(PlannedCase(id=case.id, digest="44" * 32) for case in sealed),
        settings=settings(),
        views=("html", "pdf"),
        model_name=model().name,
        model_root=model().root,
    )
    seal = Seal(
        tool=TOOL,
        signer=SIGNER,
        plan="11" * 32,
        started="2026-11-20T09:00:01Z",
        finished="2026-11-20T09:04:01Z",
        model_root_after=model().root,
        cases=tuple(sealed),
        ok=len(cases),
        failed=len(troubles),
        skipped=0,
    )
    return plan, seal


def model(name: str = "SmolLM2-135M-Instruct") -> ModelIdentity:
    """A small model of one file."""
    return ModelIdentity(
        name=name,
        layout="gguf",
        root="ab" * 32,
        files=(FileDigest(name="smollm2-135m-instruct-q4.gguf", size=98_765_432, sha256="cd" * 32),),
        architecture="LlamaForCausalLM",
        parameters=134_515_008,
        dtype="float32",
        quantisation="Q4_K_M",
        context_length=8192,
        chat_template_sha256="ef" * 32,
        licence="Apache-2.0",
    )


def settings(**changed: tuple[str, str]) -> tuple[Setting, ...]:
    """Resolved settings, all default but the ``changed`` ones: name to value and origin."""
    defaults = {"units": "word", "operator": "knockout", "effect": "total", "threads": "2", "seed": "0"}
    values = {name: (value, "default") for name, value in defaults.items()} | changed
    return tuple(Setting.model_validate({"name": name, "value": v, "origin": o}) for name, (v, o) in values.items())


def run() -> Run:
    """What the host said of itself."""
    return Run(
        started="2026-11-20T09:00:05Z",
        finished="2026-11-20T09:00:31Z",
        seconds_answer=1.84,
        seconds_sweep=22.4,
        threads=2,
        halvings=0,
        host=(("system", "Linux 6.1"), ("processor", "x86_64"), ("python", "3.11.9"), ("torch", "2.13.0")),
    )


def word_units(said: Content) -> tuple[Unit, ...]:
    """One unit for each word or mark of each message."""
    found = [
        (index, match.start(), match.end())
        for index, message in enumerate(said.case.messages)
        for match in _TOKEN.finditer(message.content)
    ]
    return tuple(
        Unit(id=f"u{n}", kind="word", spans=(Span(message=m, start=start, end=end),), runs=((n + 1, n + 2),))
        for n, (m, start, end) in enumerate(found)
    )


def unit(number: int, message: int, start: int, end: int) -> Unit:
    """A token unit at ``start:end`` of a message."""
    span = Span(message=message, start=start, end=end)
    return Unit(id=f"u{number}", kind="token", spans=(span,), runs=((number + 1, number + 2),))


def _scores(count: int, base: tuple[float, ...]) -> tuple[tuple[float, ...], ...]:
    """Most units do little; every ninth matters, every thirteenth speaks against the answer."""

    def effect(u: int, t: int) -> float:
        weight = 0.9 / (1 + u % 4) if u % 9 == 5 else -0.25 if u % 13 == 7 else 0.01 * ((u * 5) % 7 - 2)
        return weight * (1.5 if t == u % len(base) else 0.4)

    return tuple(tuple(round(value - effect(u, t), 6) for t, value in enumerate(base)) for u in range(count))


def _prompt(messages: Sequence[Message]) -> Prompt:
    rendered, offsets, segments = "<|begin|>", [(0, 9)], []
    for index, message in enumerate(messages):
        offsets.append((len(rendered), len(rendered) + len(f"<|{message.role}|>\n")))
        rendered += f"<|{message.role}|>\n"
        segments.append(Segment(message=index, start=0, end=len(message.content), rendered=len(rendered)))
        offsets += [(len(rendered) + m.start(), len(rendered) + m.end()) for m in _TOKEN.finditer(message.content)]
        rendered += message.content
        offsets.append((len(rendered), len(rendered) + len("<|end|>\n")))
        rendered += "<|end|>\n"
    return Prompt(rendered=rendered, ids=tuple(range(len(offsets))), offsets=tuple(offsets), segments=tuple(segments))


def _frozen(said: Content) -> tuple[tuple[int, int], ...]:
    """Positions of the invented template tokens: all that do not lie in a segment."""
    inside = [(s.rendered, s.rendered + s.end - s.start) for s in said.prompt.segments]
    return tuple(
        (position, position + 1)
        for position, (start, end) in enumerate(said.prompt.offsets)
        if not any(first <= start and end <= last for first, last in inside)
    )


def _answer(text: str) -> AnswerText:
    offsets = tuple(match.span() for match in re.finditer(r"\s*(?:\w+|[^\w\s])", text))
    return AnswerText(text=text, ids=tuple(range(100, 100 + len(offsets))), offsets=offsets)
