"""The tables of ``attn-audit show``, in 80 columns and fewer: figures stand on the left, and text last, so that nothing
stands right of a text that a terminal may draw wider or narrower than expected."""

from __future__ import annotations

import re
from collections.abc import Iterable

from rich.console import RenderableType
from rich.style import Style
from rich.table import Table
from rich.text import Text

from attn_audit.evidence.measured import Warn
from attn_audit.reports.answer_parts import Driver, PartView, Steps
from attn_audit.reports.checks import ChecksView
from attn_audit.reports.findings import FindingRow
from attn_audit.reports.groups import Groups
from attn_audit.reports.joint import JointRow
from attn_audit.reports.profile import ProfileTable
from attn_audit.reports.ranking import NamedRow, Ranking, UnitRow
from attn_audit.reports.self_explanation import SelfExplanationView
from attn_audit.reports.terminal_words import LABEL, TEXT_WIDTH, columns, filled, named, piece, quoted, title
from attn_audit.reports.text import visible
from attn_audit.words import noted, say, say_of, translated

BANDS_ACROSS = 4
_LOWEST = 3
_ASIDE = Style(italic=True)
_FAINT = Style(dim=True)
_NONE = "–"
_PART = noted("%(text)s, probability after what precedes it: %(probability)s")
_STATED = noted("Decision %(decision)s, stated reason %(reason)s")

Blocks = tuple[RenderableType, ...]


def drivers(support: tuple[UnitRow, ...], against: tuple[UnitRow, ...]) -> Blocks:
    """What drove the answer, and what spoke against it."""
    table = columns(say("Nats"), say("Share"), say("What drove it most") if support else say("What spoke against it"))
    for row in support:
        table.add_row(row.nats, row.share, piece(row.piece))
    if support and against:
        table.add_row("", "", Text(say("What spoke against it"), LABEL))
    for row in against:
        table.add_row(row.nats, _NONE, piece(row.piece))
    nothing = () if support else (Text(say("No piece of the input that was measured supported this answer.")),)
    return (*nothing, table) if support or against else nothing


def named_pieces(rows: tuple[NamedRow, ...]) -> Blocks:
    """The pieces that the case names, wherever they stand in the ranking."""
    if not rows:
        return ()
    table = columns(say("Nats"), say("Share"), say("Rank"), say("Piece"))
    for row in rows:
        table.add_row(row.nats, row.share or _NONE, row.rank or _NONE, named(row.piece.name, row.piece.whole))
    note = say("A field is the text that was filled in; the same word elsewhere is a piece of its own.")
    return (title(say("Fields and named pieces of the case")), table, Text(note))


def ranking(found: Ranking, rows: tuple[UnitRow, ...], top: int) -> Blocks:
    """The first ``top`` rows and the lowest."""
    direct = (say("Direct"),) if found.direct else ()
    text = say("Piece (and the message that it stands in)")
    table = columns(say("Rank"), say("Nats"), say("Share"), *direct, text)
    first = rows[: max(top, 0)]
    lowest = tuple(row for row in rows[len(first) :][-_LOWEST:] if row.relevance < 0)
    left_out = len(rows) - len(first) - len(lowest)
    no_figures = ("",) * (3 + len(direct))
    for row in first:
        table.add_row(*_cells(row, found))
    if left_out:
        table.add_row(
            *no_figures, _aside(say_of(left_out, "… %(count)s piece left out …", "… %(count)s pieces left out …"))
        )
    for row in lowest:
        table.add_row(*_cells(row, found))
    if found.unmeasured:
        more = say_of(
            found.unmeasured,
            "%(count)s further piece was not measured",
            "%(count)s further pieces were not measured",
        )
        table.add_row(*no_figures, _aside(more))
    return (title(say("Ranking")), table, *(Text(note) for note in _ranking_notes(found)))


def _ranking_notes(found: Ranking) -> Iterable[str]:
    yield say(
        "Nats: fall of the answer's log-probability when one piece is hidden. Not the model's reasons, not a cause."
    )
    if found.unmeasured:
        yield say("Share: of the positive relevance of the measured pieces.")
    if found.direct:
        yield say("Direct: the piece was hidden only where the answer is predicted, not from the rest of the input.")


def parts(found: tuple[PartView, ...]) -> Blocks:
    """What drove each named part of the answer."""
    blocks: list[RenderableType] = []
    for part in found:
        blocks.append(title(say("Part of the answer: %(name)s", name=part.name)))
        if part.probability is None:
            blocks.append(Text(say("Not found in the answer.")))
            continue
        blocks.append(filled(_PART, text=quoted(part.text), probability=Text(part.probability)))
        blocks.append(
            _drivers(part.support + part.against)
            if part.support or part.against
            else Text(say("No piece of the input supported it."))
        )
    return tuple(blocks)


def groups(found: Groups | None) -> Blocks:
    """Pieces that say alike, one by one and together."""
    if found is None:
        return ()
    table = _joint(found.rows)
    if found.left_out:
        table.add_row(
            "",
            "",
            _aside(
                say_of(found.left_out, "… %(count)s weaker group left out …", "… %(count)s weaker groups left out …")
            ),
        )
    return (title(say("Pieces that say alike, hidden together")), table)


def checks(found: ChecksView) -> Blocks:
    """What pieces do together, and what came out when the map was made in other ways."""
    blocks: list[RenderableType] = []
    if found.together is not None:
        blocks += [title(say("Highest pieces, hidden together")), _joint((found.together.whole, *found.together.pairs))]
    if found.repeated:
        blocks += [title(say("Pieces with the same text, hidden together")), _joint(found.repeated)]
    return (*blocks, *_other_ways(found), *_other_words(found), *_other_maps(found))


def _other_ways(found: ChecksView) -> Blocks:
    if not found.stability:
        return ()
    table = columns(say("5 highest"), say("10 highest"), say("Way of hiding"))
    for variant in found.stability:
        table.add_row(*(variant.shared or (_NONE, _NONE)), _where_possible(variant.name, variant.shared))
    return (title(say("Share of the highest pieces that stay so when pieces are hidden in another way")), table)


def _other_words(found: ChecksView) -> Blocks:
    if not found.paraphrases:
        return ()
    text = say("The question in other words")
    table = columns(say("Probability"), say("5 highest"), say("10 highest"), text)
    for other in found.paraphrases:
        table.add_row(other.probability, *other.shared, quoted(other.text))
    return (title(say("Share of the highest pieces with the same text when it is asked in other words")), table)


def _other_maps(found: ChecksView) -> Blocks:
    if not found.baselines or found.faithfulness is None:
        return ()
    sizes = [row.pieces for row in found.faithfulness.rows]
    table = columns(say("On average"), *(say("%(pieces)s deleted", pieces=size) for size in sizes), say("Kind of map"))
    for baseline in found.baselines:
        falls = baseline.falls or (_NONE,) * len(sizes)
        table.add_row(baseline.average or _NONE, *falls, _where_possible(baseline.name, baseline.falls))
    return (title(say("Fall when the highest pieces of other kinds of maps are deleted (nats)")), table)


def self_explanation(found: SelfExplanationView | None) -> Blocks:
    """The stated reason beside the decision."""
    if found is None:
        return ()
    table = columns(say("Decision"), say("Reason"), say("Sentence of the input"))
    for row in found.rows:
        table.add_row(row.decision, row.rationale, quoted(row.text))
    lines = [found.in_words, *([say("Confabulation gap %(gap)s.", gap=found.gap)] if found.gap else [])]
    return (
        title(say("The reason that the answer gives (written by the model; not evidence)")),
        filled(_STATED, decision=quoted(found.decision), reason=quoted(found.rationale)),
        Text(" ".join(lines)),
        table,
    )


def findings(rows: tuple[FindingRow, ...]) -> Blocks:
    """What became of the policies, and why: those first that do not hold."""
    if not rows:
        return ()
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style=LABEL, max_width=TEXT_WIDTH)
    grid.add_column(overflow="fold")
    for row in sorted(rows, key=lambda row: (not row.bad, row.held)):
        lines = [words for words, held in row.rules if row.held or not held]
        lines += [row.differs] if row.differs else []
        lines += [say("a warning only")] if row.severity == "warn" and not row.held else []
        words = Text().append(visible(row.policy), LABEL).append(visible("".join(f"\n{line}" for line in lines)))
        grid.add_row(Text(row.outcome), words)
    return (title(say("Policies")), grid)


def warnings(found: tuple[Warn, ...]) -> Blocks:
    """What a reader must know, and what to do about it."""
    if not found:
        return ()
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style=LABEL, max_width=TEXT_WIDTH)
    grid.add_column(overflow="fold")
    for warning in found:
        grid.add_row(
            Text(visible(warning.code)), Text(visible(f"{translated(warning.sentence)} {translated(warning.advice)}"))
        )
    return (title(say("Warnings")), grid)


def steps(found: Steps | None) -> Blocks:
    """What earlier pieces of the answer did to the rest of it."""
    if found is None:
        return ()
    parted = any(step.parts for step in found.rows)
    text = say("Piece of the answer, and on named parts") if parted else say("Piece of the answer")
    table = columns(say("No."), say("On the rest"), text)
    for step in found.rows:
        words = quoted(step.text)
        for effect in step.parts:
            on = say("%(nats)s on %(name)s", nats=effect.nats or _NONE, name=visible(effect.name))
            words.append(f"\n{on}")
        table.add_row(str(step.number), step.nats or _NONE, words)
    if found.left_out:
        more = say_of(found.left_out, "… %(count)s weaker piece left out …", "… %(count)s weaker pieces left out …")
        table.add_row("", "", _aside(more))
    note = say("The answer's words are the model's text, not evidence of reasons; only the measured effect (nats) is.")
    return (title(say("Which steps of the answer drove the rest of it")), table, Text(note))


def profile(tables: tuple[ProfileTable, ...]) -> Blocks:
    """Where in the model the highest pieces act."""
    blocks: list[RenderableType] = [title(say("Highest pieces, hidden in one band of layers at a time: layers, nats"))]
    for found in tables:
        table = columns(*(_layers(band) for band in found.bands), say("Piece"))
        for row in found.rows:
            table.add_row(*row.values, named(row.piece.name, row.piece.whole))
        blocks += [table] if found is tables[0] else [Text(), table]
    return tuple(blocks) if tables else ()


def _cells(row: UnitRow, found: Ranking) -> Iterable[RenderableType]:
    value = Text(row.nats, style=_FAINT if row.noise else Style.null())
    direct = (row.direct,) if found.direct else ()
    words = piece(row.piece).append(f" ({row.piece.where})", _FAINT)
    return (str(row.rank), value, row.share or _NONE, *direct, words)


def _aside(text: str) -> Text:
    return Text(text, style=_ASIDE)


def _layers(band: str) -> str:
    """Its numbers without the word, which the heading has."""
    return "–".join(re.findall(r"\d+", band))


def _where_possible(name: str, found: tuple[str, ...]) -> Text:
    return Text(name if found else say("%(name)s: not possible with this model", name=name))


def _joint(rows: tuple[JointRow, ...]) -> Table:
    table = columns(say("Added up"), say("Together"), say("Pieces"))
    for row in rows:
        table.add_row(row.single or say("not all measured"), row.together, _members(row))
    return table


def _drivers(found: tuple[Driver, ...]) -> Table:
    table = columns(say("Nats"), say("Piece"))
    for driver in found:
        table.add_row(driver.nats, piece(driver.piece))
    return table


def _members(row: JointRow) -> Text:
    words = Text(", ").join(named(one.name, one.text) for one in row.pieces)
    if row.left_out:
        count = row.left_out
        words.append(f" {say_of(count, 'and %(left_out)s other', 'and %(left_out)s others', left_out=count)}")
    return words.append(f" {row.in_words}") if row.in_words else words
