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
from attn_audit.reports.groups import group_rows
from attn_audit.reports.numbers import nats, probability
from attn_audit.reports.pieces import fitting
from attn_audit.reports.profile import profile_tables
from attn_audit.reports.ranking import named_rows, opposing, shown_ranking, supporting, unit_rows
from attn_audit.reports.self_explanation import self_explanation_view
from attn_audit.reports.terminal_heatmap import LEFT_EDGE, heat_map
from attn_audit.reports.terminal_words import title
from attn_audit.reports.text import exact, visible
from attn_audit.reports.view import standing
from attn_audit.words import noted, say, say_of, translated

_LABEL = Style(bold=True)
_MORE = noted(
    "More: --top N lists more pieces. The report in the case's folder holds all of them, the values for each token of "
    "the answer, the model's files, and the limits of what is measured here."
)
Rows = Iterable[tuple[str, str]]


def case_view(content: Content, evidence: Evidence, *, top: int, verified: str) -> RenderableType:
    """One case. ``top``: rows of the ranking; ``verified``: the sentence that says what was checked.

    Raises EvidenceError when content and evidence do not fit together.
    """
    drawn, pieces = fitting(content, evidence)
    rows = unit_rows(evidence, pieces)
    return Group(
        _facts(((say("Case"), exact(evidence.case_id)),)),
        *_answers(content, evidence),
        Text(),
        *tables.drivers(supporting(rows), opposing(rows)),
        title(say("Can this be relied on?")),
        _facts(_reliance(evidence)),
        *tables.warnings(evidence.warnings),
        *tables.findings(finding_rows(evidence.findings)),
        *_pairs(content),
        title(say("Who vouches for it, and what was done")),
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
        Text(translated(_MORE)),
    )


def _facts(rows: Rows) -> RenderableType:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style=_LABEL, no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in rows:
        grid.add_row(name, Text(value))
    return grid


def _reliance(evidence: Evidence) -> Rows:
    yield say("Map"), verdict_in_words(evidence)
    pieces, measured = len(evidence.units), sum(value is not None for value in evidence.relevance)
    if measured < pieces:
        yield (
            say("Measured"),
            say(
                "%(measured)s of %(all)s pieces; the others looked unpromising in a cheaper test and were not measured",
                measured=measured,
                all=pieces,
            ),
        )


def _record(content: Content, evidence: Evidence, verified: str) -> Rows:
    yield say("Signer"), _signer(evidence)
    if evidence.signer is not None:
        yield say("Key id"), evidence.signer.key_id
    yield say("Verified"), visible(translated(verified))
    yield say("Model"), exact(evidence.model.name)
    yield say("Root"), evidence.model.root
    yield say("Method"), _method(evidence)
    yield say("Probability"), _probability(evidence.answer.base)
    if content.contrast is not None:
        yield say("Rather than"), visible(content.contrast.text)


def _probability(base: tuple[float, ...]) -> str:
    total = fsum(base)
    return say_of(
        len(base),
        "%(probability)s (%(nats)s nats, %(count)s answer token)",
        "%(probability)s (%(nats)s nats, %(count)s answer tokens)",
        probability=probability(total),
        nats=nats(total),
    )


def _signer(evidence: Evidence) -> str:
    if evidence.signer is None:
        return say("none: UNSIGNED, nobody vouches for this report")
    name = exact(evidence.signer.principal)
    if standing(evidence.signer) == "test key":
        return say("%(name)s, TEST KEY, stands for no person and no organisation", name=name)
    return name


def _method(evidence: Evidence) -> str:
    method = described(evidence.method)
    if evidence.method.default:
        return visible(say("default: %(method)s", method=method))
    return visible(say("changed from the default: %(method)s", method=method))


def _answers(content: Content, evidence: Evidence) -> tuple[RenderableType, ...]:
    if evidence.answer.source == "generated":
        found = [_said(say("Answer, written by the model"), content.answer.text)]
    else:
        found = [_said(say("SUPPLIED answer, from the case file; explained here"), content.answer.text)]
        if content.own_answer is not None:
            found.append(_said(say("The model's own answer; not explained here"), content.own_answer))
    observed = evidence.answer.observed
    if observed is not None:
        said = (
            say("Answer observed in production, reproduced by this model")
            if observed.reproduced
            else say("Answer observed in production, NOT reproduced by this model")
        )
        found.append(_said(said, content.case.observed_answer or ""))
    return tuple(found)


def _said(whose: str, text: str) -> RenderableType:
    return Panel(Text(visible(text), overflow="fold"), title=Text(whose), title_align="left", box=LEFT_EDGE)


def _pairs(content: Content) -> tuple[RenderableType, ...]:
    """Where the result of a policy on a pair stands, where the case file sets one for this case."""
    if not any(policy.pair_with for policy in content.case.policies):
        return ()
    return (Text(say("Policies on pairs of cases are judged on the index page of the batch.")),)


def _alone(content: Content, evidence: Evidence) -> tuple[RenderableType, ...]:
    """Which values leave the other answer out, where the case names one."""
    if content.contrast is None or not (evidence.parts or evidence.answer_sources or evidence.profile):
        return ()
    return (Text(say("Named parts, steps and layers: of this answer alone, not compared with the other one.")),)
