"""Realistic records without a model: content and evidence of one case, plan and seal of a batch.

Token ids are invented: one token for each word or mark. Scores come from a fixed arithmetic rule, so that the same
arguments always give the same records.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import combinations, pairwise
from typing import Any
from unittest.mock import patch

from attn_audit.evidence import digest
from attn_audit.evidence.bundle import INDEX
from attn_audit.evidence.checked import (
    Baseline,
    Checks,
    Faithfulness,
    Joint,
    Paraphrase,
    Ranked,
    Reliance,
    Together,
    Variant,
)
from attn_audit.evidence.findings import Finding, Rule
from attn_audit.evidence.measured import (
    AnswerPart,
    AnswerScore,
    AnswerSources,
    AnswerUnit,
    ContrastScore,
    DirectEffect,
    Evidence,
    FileDigest,
    Group,
    Method,
    ModelIdentity,
    Observed,
    Probe,
    Profile,
    Run,
    Screening,
    SelfExplanation,
    Setting,
    Signer,
    Sweep,
    Tool,
    Unit,
    Warn,
)
from attn_audit.evidence.records import (
    AnswerPattern,
    AnswerText,
    BatchInfo,
    Case,
    Content,
    Message,
    NamedSpans,
    Prompt,
    Scores,
    Segment,
    Span,
)
from attn_audit.evidence.statements import Plan, PlannedCase, Redaction, Seal, SealedCase
from attn_audit.evidence.store import Sealed
from attn_audit.judge.faithfulness import p_value
from attn_audit.judge.faithfulness import verdict as judged
from attn_audit.judge.parts import answer_parts
from attn_audit.judge.relevance import highest, ranking, relevance
from attn_audit.judge.self_explanation import agreement, parts_to_compare, sentence_maps
from attn_audit.reports import paging
from attn_audit.reports.index import index_pages
from attn_audit.reports.limits import limits_version
from attn_audit.reports.templates import template_digest

SALT = "5a" * 32
TOOL = Tool(version="0.1.0")
SIGNER = Signer(
    key_id="c0ffee" * 10 + "abcd",
    fingerprint="SHA256:" + "c0ffee" * 7 + "c",
    principal="audit@bank.example",
    test_only=False,
)
TEST_SIGNER = Signer(
    key_id="7e57" * 16,
    fingerprint="SHA256:" + "test" * 10 + "tes",
    principal="TEST ONLY demo@attn-audit",
    test_only=True,
)
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
        "sweep": Sweep(batch_rows=8, passes=12, forward_tokens=5211, naive_forward_tokens=9870, noise=0.000002),
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
        "run": run(),
    } | changes
    if "relevance" not in fields:
        fields["relevance"] = relevance(fields["answer"].base, fields["scores"], fields.get("contrast"))
    return Evidence(**fields)


FINDINGS = (
    Finding(
        policy="“no protected attribute”",
        severity="fail",
        outcome="broken",
        units=(1, 3),
        rules=(
            Rule(rule="max_share", limit=0.05, found=0.1234, held=False),
            Rule(rule="not_in_top", limit=5, found=None, held=True),
            Rule(rule="max_effect", limit=0.5, found=0.25, held=True),
        ),
    ),
    Finding(
        policy="short",
        severity="warn",
        outcome="broken",
        rules=(Rule(rule="answer_must_not_match", held=False), Rule(rule="answer_must_match", held=True)),
    ),
    Finding(policy="of sentences", severity="fail", outcome="not comparable", differs=("units",), units=(0,)),
    Finding(policy="no zebra", severity="fail", outcome="nothing matched"),
    Finding(
        policy="income decides",
        severity="fail",
        outcome="held",
        units=(2,),
        rules=(
            Rule(rule="must_be_in_top", limit=3, found=1, held=True),
            Rule(rule="min_share", limit=0.1, found=0.3, held=True),
        ),
    ),
)


def rich_case(messages: Sequence[Message] = ENGLISH) -> tuple[Content, Evidence]:
    """A case that fills every part of the report: supplied and observed answers, warnings, findings, test key."""
    said = content(
        messages,
        case={
            "observed_answer": "Declined.",
            "contrast": "Approve the application.",
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
        warnings=(
            Warn(
                code="near-certain",
                sentence="The answer is nearly certain; differences are small.",
                advice="Name a contrast.",
            ),
        ),
    )
    return said, measured.model_copy(update={"findings": FINDINGS})


def long_case(words: int, tokens: int) -> tuple[Content, Evidence]:
    """A letter of so many words in one message, and an answer of as many tokens."""
    said = [f"{word}{'.' if n % 12 == 11 else ''}" for n, word in enumerate(_LETTER[n % 37] for n in range(words))]
    text = " ".join(f"{one}\n\n" if n % 120 == 119 else one for n, one in enumerate(said))
    answer = " ".join(_LETTER[(7 * n) % 37] for n in range(tokens))
    messages = (ENGLISH[0], Message(role="user", content=text))
    return (found := content(messages, answer)), evidence(found)


_LETTER = (
    *("the", "tenant", "pays", "a", "monthly", "rent", "in", "advance", "and", "may", "end", "this", "contract"),
    *("with", "three", "months", "of", "notice", "if", "repairs", "are", "not", "made", "within", "reasonable"),
    *(
        "time",
        "unless",
        "both",
        "parties",
        "agreed",
        "otherwise",
        "before",
        "witnesses",
        "or",
        "their",
        "legal",
        "heirs",
    ),
)
STEPS = "The two missed payments weigh more than her income. She has paid on time since. Refer the application."


def full_case(
    messages: Sequence[Message] = ENGLISH,
    answer: str = STEPS,
    *,
    named: Mapping[str, str] | None = None,
    parts: Mapping[str, str] | None = None,
    contrast: str | None = None,
) -> tuple[Content, Evidence]:
    """A case with all that can be measured beside the map, and most pieces screened out.

    ``named``: names to texts of fields; ``parts``: names to texts of parts of the answer.
    """
    fields = {"age": "34", "town": "Riverton", "income": "2,900 euros"} if named is None else named
    wanted = (
        {"decision": "Refer the application", "price": "free of charge", "rationale": "She has paid on time since"}
        if parts is None
        else parts
    )
    said = content(
        messages,
        answer,
        case={
            "named": tuple(_field(messages, name, text) for name, text in fields.items()),
            "answer_parts": tuple(AnswerPattern(name=name, pattern=re.escape(text)) for name, text in wanted.items()),
            "contrast": contrast,
            "paraphrases": ((Message(role="user", content="She earns 2,900 euros. Approved or not?"),),),
        },
        contrast=None if contrast is None else _answer(contrast),
    )
    return said, evidence(said, **_beside(said, evidence(said)))


def _beside(said: Content, plain: Evidence) -> dict[str, Any]:
    """What replaces fields of ``plain`` in a full case."""
    count, base = len(plain.units), plain.answer.base
    full = _scores(count, base)
    measured = tuple(
        u for u in range(count) if plain.units[u].name is not None or u % 9 == 5 or u % 13 == 7 or u % 6 == 0
    )
    scores = _kept(full, measured)
    other = None
    if said.contrast is not None:
        other_base = tuple(-0.3 - 0.1 * (t % 3) for t in range(len(said.contrast.ids)))
        other = ContrastScore(base=other_base, scores=_kept(_scores(count, other_base), measured))
    found = relevance(base, scores, other)
    top = tuple(sorted(ranking(found)[:4]))
    together = (5, 14) if count > 14 else (0, count - 1)
    half = tuple(tuple((b + s) / 2 for b, s in zip(base, row, strict=True)) for row in full)
    bands = tuple((start, start + 4) for start in range(0, 32, 4))
    steps = _steps(said.answer)
    return {
        "method": Method(units="word", effort="screened", effect="both", default=False),
        "settings": settings(
            effort=("screened", "flag"), effect=("both", "flag"), kappa=("0.9", "flag"), bands=("8", "case file")
        ),
        "scores": scores,
        "contrast": other,
        "direct": DirectEffect(scores=half, contrast=None if other is None else _scores(count, other.base)),
        "screening": Screening(
            gradient=tuple(0.02 * (u % 5) for u in range(count)),
            measured=measured,
        ),
        "groups": (
            _group(together, base, other, 1.7),
            _group(tuple(u for u in range(count) if u not in measured)[:2] or together, base, other, 0.1),
        ),
        "profile": Profile(
            units=top,
            bands=bands,
            scores=tuple(
                tuple(tuple(b - 0.02 * ((band * 3 + u) % 7 - 1) for b in base) for u in top)
                for band in range(len(bands))
            ),
        ),
        "answer_sources": AnswerSources(
            units=steps,
            scores=tuple(
                tuple(b - (0.11 * (n + 1) if t >= step.tokens[1] else 0.0) for t, b in enumerate(base))
                for n, step in enumerate(steps)
            ),
        ),
        "parts": (parts := _parts(said, base, scores)),
        "self_explanation": _self_explanation(said, base, parts),
        "checks": checks(found).model_copy(update={"paraphrases": (_paraphrase(),)}),
        "run": run().model_copy(update={"seconds_planned": 25.0, "packed": True}),
    }


def checks(values: Sequence[float | None], verdict: str = "supported") -> Checks:
    """All checks, at three sizes and with 99 draws: the map beats all of them, half of them, or cannot."""
    draws = {"supported": 0.2, "not supported": 1.2, "cannot tell": 0.2}[verdict]
    random = tuple(tuple(draws * size * (n % 10) / 9 for size in (1.0, 2.0, 4.0)) for n in range(99))
    ours, random = (1.0, 2.0, 4.0), random[: 10 if verdict == "cannot tell" else 99]
    p = p_value(ours, random)
    top = highest(values)
    return Checks(
        faithfulness=Faithfulness(
            sizes=(8, 15, 37),
            comprehensiveness=ours,
            random_comprehensiveness=random,
            sufficiency=(3.0, 2.0, 0.5),
            random_sufficiency=tuple(tuple(4.0 - value for value in one) for one in random),
            p=p,
            verdict=judged(p, len(random)),
        ),
        reliance=Reliance(suppressed=5.2, deleted=6.1, verdict="input"),
        together=Together(
            units=top,
            together=3 * sum(values[unit] or 0.0 for unit in top),
            pairs=tuple(Joint(units=pair, together=0.1 * (n + 1)) for n, pair in enumerate(combinations(top, 2))),
        ),
        repeated=(Joint(units=(1, 9), together=2.2), Joint(units=(2, 6, 7), together=0.01)),
        baselines=(
            Baseline(
                name="gradient x input",
                values=tuple(0.1 * (n % 7) for n in range(len(values))),
                comprehensiveness=(0.4, 1.3, 2.0),
            ),
            Baseline(name="attention", values=None, comprehensiveness=()),
        ),
        stability=(
            Variant(operator="soft", factor=0.1, relevance=tuple(values)),
            Variant(operator="soft", factor=0.01, relevance=None),
        ),
        passes=120,
        forward_tokens=12_345,
    )


def _paraphrase() -> Paraphrase:
    """Of the only one, with its first two words as the highest."""
    spans = (Span(message=0, start=0, end=3), Span(message=0, start=4, end=9))
    return Paraphrase(
        log_probability=-0.7,
        highest=tuple(Ranked(spans=(span,), relevance=2.0 - number) for number, span in enumerate(spans)),
    )


def _self_explanation(said: Content, base: tuple[float, ...], parts: tuple[AnswerPart, ...]) -> SelfExplanation | None:
    """The first sentence drives the decision, the second one the rationale."""
    compared = parts_to_compare(parts)
    if compared is None:
        return None
    units = sentence_units(said)
    effects = tuple(tuple(range(*tokens)) for tokens in compared)
    scores = tuple(
        tuple(value - (1.5 if u < 2 and t in effects[u] else 0.0) for t, value in enumerate(base))
        for u in range(len(units))
    )
    return SelfExplanation(units=units, scores=scores, agreement=agreement(*sentence_maps(base, scores, compared)))


def sentence_units(said: Content) -> tuple[Unit, ...]:
    """One unit for each sentence of each message, over the positions of its words."""
    words = word_units(said.model_copy(update={"case": said.case.model_copy(update={"named": ()})}))
    found: list[Unit] = []
    for number, message in enumerate(said.case.messages):
        for match in re.finditer(r"[^.!?]*[.!?]+|[^.!?]+$", message.content):
            span = Span(message=number, start=match.start(), end=match.end())
            inside = [
                w for w in words if w.spans[0].message == number and match.start() <= w.spans[0].start < match.end()
            ]
            if inside:
                runs = ((inside[0].runs[0][0], inside[-1].runs[-1][1]),)
                found.append(Unit(id=f"s{len(found)}", kind="sentence", spans=(span,), runs=runs))
    return tuple(found)


def _kept(scores: tuple[tuple[float, ...], ...], measured: tuple[int, ...]) -> Scores:
    return tuple(row if u in measured else None for u, row in enumerate(scores))


def _group(units: tuple[int, ...], base: tuple[float, ...], other: ContrastScore | None, size: float) -> Group:
    return Group(
        units=units,
        scores=tuple(b - size / len(base) for b in base),
        contrast=None if other is None else tuple(b - 0.1 for b in other.base),
    )


def _parts(said: Content, base: tuple[float, ...], scores: Scores) -> tuple[AnswerPart, ...]:
    return answer_parts(said.case.answer_parts, said.answer, base, scores)


def _steps(answer: AnswerText) -> tuple[AnswerUnit, ...]:
    """One for each sentence of the answer."""
    ends = [n + 1 for n, (start, end) in enumerate(answer.offsets) if answer.text[start:end].strip() in {".", "!", "?"}]
    edges = sorted({0, *ends, len(answer.ids)})
    return tuple(
        AnswerUnit(start=answer.offsets[a][0], end=answer.offsets[b - 1][1], tokens=(a, b)) for a, b in pairwise(edges)
    )


def _field(messages: Sequence[Message], name: str, text: str) -> NamedSpans:
    number = next(n for n, message in enumerate(messages) if text in message.content)
    start = messages[number].content.index(text)
    return NamedSpans(kind="field", name=name, spans=(Span(message=number, start=start, end=start + len(text)),))


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
        source="cases/loans.yaml",
        cases=tuple(PlannedCase(id=case.id, digest="44" * 32, line=3 + 2 * n) for n, case in enumerate(sealed)),
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


def sealed(
    plan: Plan,
    seal: Seal,
    cases: Mapping[str, tuple[Content, Evidence]],
    withheld: Mapping[str, Redaction] | None = None,
) -> Sealed:
    """The batch as its pages take it; ``cases``: those at hand."""
    return Sealed(plan, seal, cases, {name: evidence for name, (_, evidence) in cases.items()}, withheld or {})


def index_page(sealed: Sealed) -> bytes:
    """The first page of the index, which is all of it where the batch is small."""
    return dict(index_pages(sealed))[INDEX]


def divided(sealed: Sealed, cases_a_page: int, listed: int = 30) -> dict[str, bytes]:
    """The pages of the index in the order in which they are made, as if a page took so many cases; more pages than
    ``listed`` are listed in groups of so many."""
    with patch.multiple(paging, CASES_A_PAGE=cases_a_page, _FLAT=listed, _GROUP=listed):
        return dict(index_pages(sealed))


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
    """One unit for each word or mark of each message that no field holds, and one for each field."""
    found = [
        (index, match.start(), match.end())
        for index, message in enumerate(said.case.messages)
        for match in _TOKEN.finditer(message.content)
    ]
    fields = {span: one for one in said.case.named for span in one.spans}
    owners = [_field_at(fields, *place) for place in found]
    units: list[Unit] = []
    for n, ((m, start, end), field) in enumerate(zip(found, owners, strict=True)):
        if field is None:
            span = Span(message=m, start=start, end=end)
            units.append(Unit(id=f"u{len(units)}", kind="word", spans=(span,), runs=((n + 1, n + 2),)))
        elif n == 0 or owners[n - 1] != field:
            last = next((later for later in range(n, len(owners)) if owners[later] != field), len(owners))
            units.append(
                Unit(
                    id=f"u{len(units)}", kind=field.kind, name=field.name, spans=field.spans, runs=((n + 1, last + 1),)
                )
            )
    return tuple(units)


def _field_at(fields: Mapping[Span, NamedSpans], message: int, start: int, end: int) -> NamedSpans | None:
    return next(
        (one for span, one in fields.items() if span.message == message and span.start < end and start < span.end), None
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
