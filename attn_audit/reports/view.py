"""Content and evidence to what a report shows: texts cut to size, numbers written out, levels of heat chosen."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, fsum
from typing import Literal

from attn_audit.evidence.digest import canonical, sha256
from attn_audit.evidence.records import Content, Evidence, Setting, Signer, Unit
from attn_audit.judge.method import described, in_words
from attn_audit.judge.relevance import by_token, positive_share, ranking
from attn_audit.reports.limits import LimitsText, limits_for
from attn_audit.reports.numbers import nats, probability, share, short_nats
from attn_audit.reports.spans import (
    Extract,
    Fragment,
    PromptPart,
    check_lengths,
    fragments,
    prompt_parts,
    token_extracts,
    unit_extracts,
)
from attn_audit.reports.text import exact, hidden, shortened, visible

LEVELS = 5
TOP = 5
AGAINST = 2
_PLAIN_BELOW = 0.05  # of the largest absolute value: less gets no colour
_VALUE_FROM = 3  # level from which the value is printed beside the text
_ALL_ROWS = 200
_FIRST_ROWS = 100
_LAST_ROWS = 20
_ROW_LENGTH = 200
_QUOTE_LENGTH = 300
_BAR = 100.0  # width of one half of a bar, in units of its viewBox
_METHOD_SETTINGS = frozenset({"operator", "factor", "effect", "units", "layers"})

Standing = Literal["unsigned", "test key", "signed"]


@dataclass(frozen=True)
class Mark:
    """A run of a message as the heat-map draws it. ``level``: -5 to 5, 0 is plain; ``note``: every value in it."""

    text: str
    level: int
    note: str
    value: str


@dataclass(frozen=True)
class MessageView:
    """One message of the heat-map."""

    label: str
    text: str
    marks: tuple[Mark, ...]


@dataclass(frozen=True)
class UnitRow:
    """One row of the ranking. ``bar_start`` and ``bar_width`` lie on 0..200, with zero relevance at 100."""

    rank: int
    id: str
    name: str
    where: str
    text: str
    before: str
    after: str
    cut: bool
    relevance: float
    level: int
    nats: str
    share: str
    bar_start: str
    bar_width: str


@dataclass(frozen=True)
class Ranking:
    """The rows that are printed: all, or the first and the last of many."""

    first: tuple[UnitRow, ...]
    last: tuple[UnitRow, ...]
    left_out: int


@dataclass(frozen=True)
class TokenRow:
    """One answer token, with the unit that supported it most."""

    number: int
    text: str
    cut: bool
    log_probability: str
    probability: str
    top_id: str
    top_text: str
    top_nats: str


@dataclass(frozen=True)
class Tokens:
    """The answer tokens that are printed."""

    rows: tuple[TokenRow, ...]
    left_out: int


@dataclass(frozen=True)
class LegendStep:
    """One colour of the heat-map and the values it stands for."""

    level: int
    range: str


@dataclass(frozen=True)
class ReportView:
    """Everything a report prints that is not a plain field of its two records."""

    evidence_sha256: str
    standing: Standing
    case_id: str
    probability: str
    log_probability: str
    observed_probability: str | None
    contrast_probability: str | None
    support: tuple[UnitRow, ...]
    against: tuple[UnitRow, ...]
    positive_total: str
    method_changes: tuple[Setting, ...]
    method: str
    described: str
    given: tuple[Setting, ...]
    hidden: int
    messages: tuple[MessageView, ...]
    legend: tuple[LegendStep, ...]
    prompt: tuple[PromptPart, ...]
    frozen: int
    ranking: Ranking
    tokens: Tokens
    saved: str | None
    limits: LimitsText


def report_view(content: Content, evidence: Evidence) -> ReportView:
    """Raises EvidenceError when the two records do not fit together."""
    check_lengths(content, evidence)
    drawn = fragments(content, evidence)
    rows = unit_rows(content, evidence)
    total = fsum(evidence.answer.base)
    observed = evidence.answer.observed
    contrast = evidence.contrast
    return ReportView(
        evidence_sha256=sha256(canonical(evidence)),
        standing=standing(evidence.signer),
        case_id=exact(evidence.case_id),
        probability=probability(total),
        log_probability=nats(total),
        observed_probability=probability(observed.log_probability) if observed else None,
        contrast_probability=probability(fsum(contrast.base)) if contrast else None,
        support=supporting(rows),
        against=opposing(rows),
        positive_total=nats(fsum(value for value in evidence.relevance if value > 0)),
        method_changes=_method_changes(evidence),
        method=in_words(evidence.method),
        described=described(evidence.method),
        given=tuple(setting for setting in evidence.settings if setting.origin != "default"),
        hidden=_hidden(content),
        messages=_messages(content, evidence, drawn),
        legend=_legend(evidence.relevance),
        prompt=prompt_parts(content, evidence),
        frozen=sum(stop - start for start, stop in evidence.frozen),
        ranking=_ranking(rows),
        tokens=_tokens(content, evidence),
        saved=_saved(evidence),
        limits=limits_for(evidence.limits),
    )


def standing(signer: Signer | None) -> Standing:
    """Whether a record says that it is signed. That it is, only ``attn-audit verify`` can say."""
    if signer is None:
        return "unsigned"
    return "test key" if signer.test_only else "signed"


def level(value: float, largest: float) -> int:
    """Heat of a value on -5..5, relative to the largest absolute value of the report; 0 below 5 % of it."""
    if largest <= 0 or abs(value) < _PLAIN_BELOW * largest:
        return 0
    steps = min(LEVELS, max(1, ceil(LEVELS * (abs(value) / largest))))
    return steps if value > 0 else -steps


def largest(values: tuple[float, ...]) -> float:
    """The largest absolute value, nats; 0 when there is none."""
    return max((abs(value) for value in values), default=0.0)


def unit_rows(content: Content, evidence: Evidence) -> tuple[UnitRow, ...]:
    """All units, highest relevance first. Lengths and spans must have been checked."""
    extracts = unit_extracts(content, evidence)
    shares = positive_share(evidence.relevance)
    top = largest(evidence.relevance)
    return tuple(
        _row(rank, evidence.units[index], content, extracts[index], evidence.relevance[index], shares[index], top)
        for rank, index in enumerate(ranking(evidence.relevance), start=1)
    )


def supporting(rows: tuple[UnitRow, ...]) -> tuple[UnitRow, ...]:
    """The highest rows that supported the answer."""
    return tuple(row for row in rows[:TOP] if row.relevance > 0)


def opposing(rows: tuple[UnitRow, ...]) -> tuple[UnitRow, ...]:
    """The lowest rows that spoke against the answer, strongest first, when they are strong enough to be coloured."""
    return tuple(row for row in rows[::-1][:AGAINST] if row.level < 0)


def _row(rank: int, unit: Unit, content: Content, extract: Extract, value: float, part: float, top: float) -> UnitRow:
    width = _BAR * abs(value) / top if top else 0.0
    return UnitRow(
        rank=rank,
        id=exact(unit.id),
        name=f"{unit.kind} {unit.name}" if unit.name is not None else "",
        where=_where(unit, content),
        text=shortened(extract.text, _ROW_LENGTH),
        before=extract.before,
        after=extract.after,
        cut=extract.cut,
        relevance=value,
        level=level(value, top),
        nats=nats(value),
        share=share(part) if value > 0 else "",
        bar_start=f"{_BAR - width if value < 0 else _BAR:.1f}",
        bar_width=f"{width:.1f}",
    )


def _where(unit: Unit, content: Content) -> str:
    numbers = sorted({span.message for span in unit.spans})
    return ", ".join(f"{number + 1} {content.case.messages[number].role}" for number in numbers)


def _messages(content: Content, evidence: Evidence, drawn: tuple[tuple[Fragment, ...], ...]) -> tuple[MessageView, ...]:
    top = largest(evidence.relevance)
    return tuple(
        MessageView(
            f"Message {number}: {message.role}",
            message.content,
            tuple(_mark(fragment, evidence, top) for fragment in found),
        )
        for number, (message, found) in enumerate(zip(content.case.messages, drawn, strict=True), start=1)
    )


def _mark(fragment: Fragment, evidence: Evidence, top: float) -> Mark:
    values = [(evidence.relevance[index], evidence.units[index].id) for index in fragment.units]
    if not values:
        return Mark(fragment.text, 0, "", "")
    strongest = max((value for value, _ in values), key=abs)
    heat = level(strongest, top)
    return Mark(
        text=fragment.text,
        level=heat,
        note="; ".join(f"{visible(name)}: {nats(value)} nats" for value, name in values),
        value=short_nats(strongest) if abs(heat) >= _VALUE_FROM else "",
    )


def _legend(values: tuple[float, ...]) -> tuple[LegendStep, ...]:
    top = largest(values)
    return tuple(
        LegendStep(step, _range(step, top))
        for step in range(-LEVELS, LEVELS + 1)
        if any(level(v, top) == step for v in values)
    )


def _range(step: int, top: float) -> str:
    edges = [_PLAIN_BELOW * top, *(top * number / LEVELS for number in range(1, LEVELS + 1))]
    if step == 0:
        return f"less than {edges[0]:.3f} either way"
    low, high = sorted((edges[abs(step) - 1], edges[abs(step)]))
    sign = 1 if step > 0 else -1
    return f"{nats(sign * low)} to {nats(sign * high)}"


def _ranking(rows: tuple[UnitRow, ...]) -> Ranking:
    if len(rows) <= _ALL_ROWS:
        return Ranking(rows, (), 0)
    return Ranking(rows[:_FIRST_ROWS], rows[-_LAST_ROWS:], len(rows) - _FIRST_ROWS - _LAST_ROWS)


def _tokens(content: Content, evidence: Evidence) -> Tokens:
    extracts = token_extracts(content)
    units = unit_extracts(content, evidence)
    columns = tuple(zip(*(by_token(evidence.answer.base, row) for row in evidence.scores), strict=True))
    rows = tuple(
        _token(number, extract, base, columns[number - 1] if columns else (), evidence, units)
        for number, (extract, base) in enumerate(zip(extracts, evidence.answer.base, strict=True), start=1)
        if number <= _ALL_ROWS
    )
    return Tokens(rows, len(extracts) - len(rows))


def _token(
    number: int,
    extract: Extract,
    base: float,
    column: tuple[float, ...],
    evidence: Evidence,
    units: tuple[Extract, ...],
) -> TokenRow:
    best = ranking(column)[0] if column else None
    supported = best is not None and column[best] > 0
    return TokenRow(
        number=number,
        text=extract.text,
        cut=extract.cut,
        log_probability=nats(base),
        probability=probability(base),
        top_id=exact(evidence.units[best].id) if best is not None and supported else "",
        top_text=shortened(units[best].text, 60) if best is not None and supported else "",
        top_nats=nats(column[best]) if best is not None and supported else "",
    )


def _method_changes(evidence: Evidence) -> tuple[Setting, ...]:
    """What makes the method another than the default, by name; empty when it is the default."""
    if evidence.method.default:
        return ()
    shown = tuple(setting for setting in evidence.settings if setting.name in _METHOD_SETTINGS)
    return tuple(setting for setting in shown if setting.origin != "default") or shown


def _hidden(content: Content) -> int:
    case = content.case
    texts = [message.content for message in case.messages]
    texts += [content.answer.text, content.own_answer or "", case.observed_answer or ""]
    return sum(hidden(text) for text in texts)


def _saved(evidence: Evidence) -> str | None:
    """How much of the plain cost the sweep needed; None when there was nothing to measure."""
    naive = evidence.sweep.naive_forward_tokens
    return share(evidence.sweep.forward_tokens / naive) if naive else None
