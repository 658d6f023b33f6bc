"""Content and evidence to what ``attn-audit show`` prints, in the order of page one of the report; legible without
colour, and on terminals that draw a character wider or narrower than expected: nothing stands right of a text."""

from __future__ import annotations

from collections.abc import Iterable
from math import fsum

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.style import Style
from rich.table import Table
from rich.text import Text

from attn_audit.evidence.measured import Evidence
from attn_audit.evidence.records import Content
from attn_audit.judge.method import described
from attn_audit.reports import terminal_tables as tables
from attn_audit.reports.answer_parts import part_views, step_views
from attn_audit.reports.checks import checks_view, verdict_in_words
from attn_audit.reports.findings import finding_rows
from attn_audit.reports.fit import check_lengths
from attn_audit.reports.groups import group_rows
from attn_audit.reports.numbers import nats, probability
from attn_audit.reports.pieces import pieces_of
from attn_audit.reports.profile import profile_tables
from attn_audit.reports.ranking import named_rows, opposing, shown_ranking, supporting, unit_rows
from attn_audit.reports.self_explanation import self_explanation_view
from attn_audit.reports.spans import fragments
from attn_audit.reports.terminal_heatmap import LEFT_EDGE, heat_map
from attn_audit.reports.text import exact, visible
from attn_audit.reports.view import standing

_STANDINGS = {
    "unsigned": "none: UNSIGNED, nobody vouches for this report",
    "test key": "TEST KEY, stands for no person and no organisation",
    "signed": "",
}
_LABEL = Style(bold=True)
_MORE = (
    "More: --top N lists more pieces. The report in the case's folder holds all of them, the values for each token of "
    "the answer, the model's files, and the limits of what is measured here."
)
Rows = Iterable[tuple[str, str]]


def case_view(content: Content, evidence: Evidence, *, top: int, verified: str) -> RenderableType:
    """One case. ``top``: rows of the ranking; ``verified``: the sentence that says what was checked.

    Raises EvidenceError when content and evidence do not fit together.
    """
    check_lengths(content, evidence)
    drawn = fragments(content, evidence)
    pieces = pieces_of(content, evidence)
    rows = unit_rows(evidence, pieces)
    return Group(
        _facts((("Case", exact(evidence.case_id)),)),
        *_answers(content, evidence),
        Text(),
        *tables.drivers(supporting(rows), opposing(rows)),
        tables.title("Can this be relied on?"),
        _facts(_reliance(evidence)),
        *tables.warnings(evidence.warnings),
        *tables.findings(finding_rows(evidence.findings)),
        *_pairs(content),
        tables.title("Who vouches for it, and what was done"),
        _facts(_record(content, evidence, verified)),
        *heat_map(content, evidence, drawn),
        *tables.named_pieces(named_rows(evidence, pieces, rows)),
        *tables.ranking(shown_ranking(evidence, rows), rows, top),
        *tables.checks(checks_view(content, evidence, pieces)),
        *tables.self_explanation(self_explanation_view(content, evidence)),
        *tables.parts(part_views(content, evidence, pieces)),
        *tables.groups(group_rows(evidence, pieces)),
        *tables.steps(step_views(content, evidence)),
        *tables.profile(profile_tables(evidence, pieces, across=tables.BANDS_ACROSS)),
        *_alone(content, evidence),
        Text(),
        Text(_MORE),
    )


def _facts(rows: Rows) -> RenderableType:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style=_LABEL, no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in rows:
        grid.add_row(name, Text(value))
    return grid


def _reliance(evidence: Evidence) -> Rows:
    yield "Map", verdict_in_words(evidence)
    pieces, measured = len(evidence.units), sum(value is not None for value in evidence.relevance)
    if measured < pieces:
        sentence = "the others looked unpromising in a cheaper test and were not measured"
        yield "Measured", f"{measured} of {pieces} pieces; {sentence}"


def _record(content: Content, evidence: Evidence, verified: str) -> Rows:
    total = fsum(evidence.answer.base)
    yield "Signer", _signer(evidence)
    if evidence.signer is not None:
        yield "Key id", evidence.signer.key_id
    yield "Verified", visible(verified)
    yield "Model", exact(evidence.model.name)
    yield "Root", evidence.model.root
    yield "Method", _method(evidence)
    yield "Probability", f"{probability(total)} ({nats(total)} nats, {len(evidence.answer.base)} answer tokens)"
    if content.contrast is not None:
        yield "Rather than", visible(content.contrast.text)


def _signer(evidence: Evidence) -> str:
    said = _STANDINGS[standing(evidence.signer)]
    if evidence.signer is None:
        return said
    return ", ".join(filter(None, (exact(evidence.signer.principal), said)))


def _method(evidence: Evidence) -> str:
    method = evidence.method
    changed = "default" if method.default else "changed from the default"
    return visible(f"{changed}: {described(method)}")


def _answers(content: Content, evidence: Evidence) -> tuple[RenderableType, ...]:
    if evidence.answer.source == "generated":
        found = [_said("Answer, written by the model", content.answer.text)]
    else:
        found = [_said("SUPPLIED answer, from the case file; explained here", content.answer.text)]
        if content.own_answer is not None:
            found.append(_said("The model's own answer; not explained here", content.own_answer))
    observed = evidence.answer.observed
    if observed is not None:
        title = "reproduced by this model" if observed.reproduced else "NOT reproduced by this model"
        found.append(_said(f"Answer observed in production, {title}", content.case.observed_answer or ""))
    return tuple(found)


def _said(title: str, text: str) -> RenderableType:
    return Panel(Text(visible(text), overflow="fold"), title=Text(title), title_align="left", box=LEFT_EDGE)


def _pairs(content: Content) -> tuple[RenderableType, ...]:
    """Where the result of a policy on a pair stands, where the case file sets one for this case."""
    if not any(policy.pair_with for policy in content.case.policies):
        return ()
    return (Text("Policies on pairs of cases are judged on the index page of the batch."),)


def _alone(content: Content, evidence: Evidence) -> tuple[RenderableType, ...]:
    """Which values leave the other answer out, where the case names one."""
    if content.contrast is None or not (evidence.parts or evidence.answer_sources or evidence.profile):
        return ()
    return (Text("Named parts, steps and layers: of this answer alone, not compared with the other one."),)
