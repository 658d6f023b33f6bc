"""The tables of ``attn-audit show``, in 80 columns and fewer: figures stand on the left, and text last, so that nothing
stands right of a text that a terminal may draw wider or narrower than expected."""

from __future__ import annotations

from collections.abc import Iterable

from rich import box
from rich.console import RenderableType
from rich.padding import Padding
from rich.style import Style
from rich.table import Table
from rich.text import Text

from attn_audit.evidence.measured import Warn
from attn_audit.reports.answer_parts import Driver, PartView, Steps
from attn_audit.reports.checks import ChecksView
from attn_audit.reports.findings import FindingRow
from attn_audit.reports.groups import Groups
from attn_audit.reports.joint import JointRow
from attn_audit.reports.pieces import Piece
from attn_audit.reports.profile import ProfileTable
from attn_audit.reports.ranking import NamedRow, Ranking, UnitRow
from attn_audit.reports.self_explanation import SelfExplanationView
from attn_audit.reports.text import shortened, visible

BANDS_ACROSS = 4
_LOWEST = 3
_ROW_LENGTH = 60
_FIGURE_WIDTH = 8  # unless a word of the heading is longer
_TEXT_WIDTH = 16  # at least
_LABEL = Style(bold=True)
_ASIDE = Style(italic=True)
_FAINT = Style(dim=True)
_NONE = "–"

Blocks = tuple[RenderableType, ...]


def drivers(support: tuple[UnitRow, ...], against: tuple[UnitRow, ...]) -> Blocks:
    """What drove the answer, and what spoke against it."""
    table = _table("Nats", "Share", "What drove it most" if support else "What spoke against it")
    for row in support:
        table.add_row(row.nats, row.share, _piece(row.piece))
    if support and against:
        table.add_row("", "", Text("What spoke against it", _LABEL))
    for row in against:
        table.add_row(row.nats, _NONE, _piece(row.piece))
    nothing = () if support else (Text("No piece of the input that was measured supported this answer."),)
    return (*nothing, table) if support or against else nothing


def named_pieces(rows: tuple[NamedRow, ...]) -> Blocks:
    """The pieces that the case names, wherever they stand in the ranking."""
    if not rows:
        return ()
    table = _table("Nats", "Share", "Rank", "Piece")
    for row in rows:
        table.add_row(row.nats, row.share or _NONE, row.rank or _NONE, _named(row.piece.name, row.piece.whole))
    note = "A field is the text that was filled in; the same word elsewhere is a piece of its own."
    return (title("Fields and named pieces of the case"), table, Text(note))


def ranking(found: Ranking, rows: tuple[UnitRow, ...], top: int) -> Blocks:
    """The first ``top`` rows and the lowest."""
    direct = ("Direct",) if found.direct else ()
    table = _table("Rank", "Nats", "Share", *direct, "Piece (and the message that it stands in)")
    first = rows[: max(top, 0)]
    lowest = tuple(row for row in rows[len(first) :][-_LOWEST:] if row.relevance < 0)
    left_out = len(rows) - len(first) - len(lowest)
    no_figures = ("",) * (3 + len(direct))
    for row in first:
        table.add_row(*_cells(row, found))
    if left_out:
        table.add_row(*no_figures, Text(f"… {left_out} pieces left out …", style=_ASIDE))
    for row in lowest:
        table.add_row(*_cells(row, found))
    if found.unmeasured:
        table.add_row(*no_figures, Text(f"{found.unmeasured} further pieces were not measured", style=_ASIDE))
    return (title("Ranking"), table, *(Text(note) for note in _ranking_notes(found)))


def _ranking_notes(found: Ranking) -> Iterable[str]:
    yield "Nats: fall of the answer's log-probability when one piece is hidden. Not the model's reasons, not a cause."
    if found.unmeasured:
        yield "Share: of the positive relevance of the measured pieces."
    if found.direct:
        yield "Direct: the piece was hidden only where the answer is predicted, not from the rest of the input."


def parts(found: tuple[PartView, ...]) -> Blocks:
    """What drove each named part of the answer."""
    blocks: list[RenderableType] = []
    for part in found:
        blocks.append(title(f"Part of the answer: {part.name}"))
        if part.probability is None:
            blocks.append(Text("Not found in the answer."))
            continue
        blocks.append(Text.assemble(_quoted(part.text), f", probability after what precedes it: {part.probability}"))
        blocks.append(
            _drivers(part.support + part.against)
            if part.support or part.against
            else Text("No piece of the input supported it.")
        )
    return tuple(blocks)


def groups(found: Groups | None) -> Blocks:
    """Pieces that say alike, one by one and together."""
    if found is None:
        return ()
    table = _joint(found.rows)
    if found.left_out:
        table.add_row("", "", Text(f"… {found.left_out} weaker groups left out …", style=_ASIDE))
    return (title("Pieces that say alike, hidden together"), table)


def checks(found: ChecksView) -> Blocks:
    """What pieces do together, and what came out when the map was made in other ways."""
    blocks: list[RenderableType] = []
    if found.together is not None:
        blocks += [title("Highest pieces, hidden together"), _joint((found.together.whole, *found.together.pairs))]
    if found.repeated:
        blocks += [title("Pieces with the same text, hidden together"), _joint(found.repeated)]
    return (*blocks, *_other_ways(found), *_other_words(found), *_other_maps(found))


def _other_ways(found: ChecksView) -> Blocks:
    if not found.stability:
        return ()
    table = _table("5 highest", "10 highest", "Way of hiding")
    for variant in found.stability:
        table.add_row(*(variant.shared or (_NONE, _NONE)), _where_possible(variant.name, variant.shared))
    return (title("Share of the highest pieces that stay so when pieces are hidden in another way"), table)


def _other_words(found: ChecksView) -> Blocks:
    if not found.paraphrases:
        return ()
    table = _table("Probability", "5 highest", "10 highest", "The question in other words")
    for other in found.paraphrases:
        table.add_row(other.probability, *other.shared, _quoted(other.text))
    return (title("Share of the highest pieces with the same text when it is asked in other words"), table)


def _other_maps(found: ChecksView) -> Blocks:
    if not found.baselines or found.faithfulness is None:
        return ()
    sizes = [row.pieces for row in found.faithfulness.rows]
    table = _table("On average", *(f"{size} deleted" for size in sizes), "Kind of map")
    for baseline in found.baselines:
        falls = baseline.falls or (_NONE,) * len(sizes)
        table.add_row(baseline.average or _NONE, *falls, _where_possible(baseline.name, baseline.falls))
    return (title("Fall when the highest pieces of other kinds of maps are deleted (nats)"), table)


def self_explanation(found: SelfExplanationView | None) -> Blocks:
    """The stated reason beside the decision."""
    if found is None:
        return ()
    table = _table("Decision", "Reason", "Sentence of the input")
    for row in found.rows:
        table.add_row(row.decision, row.rationale, _quoted(row.text))
    gap = f" Confabulation gap {found.gap}." if found.gap else ""
    return (
        title("The reason that the answer gives (written by the model; not evidence)"),
        Text.assemble("Decision ", _quoted(found.decision), ", stated reason ", _quoted(found.rationale)),
        Text(found.in_words + gap),
        table,
    )


def findings(rows: tuple[FindingRow, ...]) -> Blocks:
    """What became of the policies, and why: those first that do not hold."""
    if not rows:
        return ()
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style=_LABEL, max_width=_TEXT_WIDTH)
    grid.add_column(overflow="fold")
    for row in sorted(rows, key=lambda row: (not row.bad, row.held)):
        lines = [words for words, held in row.rules if row.held or not held]
        lines += [row.differs] if row.differs else []
        lines += ["a warning only"] if row.severity == "warn" and not row.held else []
        words = Text().append(visible(row.policy), _LABEL).append(visible("".join(f"\n{line}" for line in lines)))
        grid.add_row(Text(row.outcome), words)
    return (title("Policies"), grid)


def warnings(found: tuple[Warn, ...]) -> Blocks:
    """What a reader must know, and what to do about it."""
    if not found:
        return ()
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style=_LABEL, max_width=_TEXT_WIDTH)
    grid.add_column(overflow="fold")
    for warning in found:
        grid.add_row(Text(visible(warning.code)), Text(visible(f"{warning.sentence} {warning.advice}")))
    return (title("Warnings"), grid)


def steps(found: Steps | None) -> Blocks:
    """What earlier pieces of the answer did to the rest of it."""
    if found is None:
        return ()
    named = any(step.parts for step in found.rows)
    table = _table("No.", "On the rest", "Piece of the answer, and on named parts" if named else "Piece of the answer")
    for step in found.rows:
        words = _quoted(step.text)
        for effect in step.parts:
            words.append(f"\n{effect.nats or _NONE} on {visible(effect.name)}")
        table.add_row(str(step.number), step.nats or _NONE, words)
    if found.left_out:
        table.add_row("", "", Text(f"… {found.left_out} weaker pieces left out …", style=_ASIDE))
    note = "The answer's words are the model's text, not evidence of reasons; only the measured effect (nats) is."
    return (title("Which steps of the answer drove the rest of it"), table, Text(note))


def profile(tables: tuple[ProfileTable, ...]) -> Blocks:
    """Where in the model the highest pieces act."""
    blocks: list[RenderableType] = [title("Highest pieces, hidden in one band of layers at a time: layers, nats")]
    for found in tables:
        table = _table(*(_layers(band) for band in found.bands), "Piece")
        for row in found.rows:
            table.add_row(*row.values, _named(row.piece.name, row.piece.whole))
        blocks += [table] if found is tables[0] else [Text(), table]
    return tuple(blocks) if tables else ()


def title(text: str) -> RenderableType:
    """A heading."""
    return Padding(Text(visible(text), style=_LABEL), (1, 0, 0, 0))


def _table(*columns: str) -> Table:
    """Figures, and last a column of text that takes what they leave."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 2, 0, 0), expand=True)
    for column in columns[:-1]:
        width = max(_FIGURE_WIDTH, *map(len, column.split()))
        table.add_column(column, justify="right", overflow="fold", max_width=width)
    table.add_column(columns[-1], ratio=1, overflow="fold", min_width=_TEXT_WIDTH)
    return table


def _cells(row: UnitRow, found: Ranking) -> Iterable[RenderableType]:
    value = Text(row.nats, style=_FAINT if row.noise else Style.null())
    direct = (row.direct,) if found.direct else ()
    words = _piece(row.piece).append(f" ({row.piece.where})", _FAINT)
    return (str(row.rank), value, row.share or _NONE, *direct, words)


def _layers(band: str) -> str:
    """Without the word, which the heading has."""
    return band.removeprefix("layers ").removeprefix("layer ")


def _where_possible(name: str, found: tuple[str, ...]) -> Text:
    return Text(name if found else f"{name}: not possible with this model")


def _joint(rows: tuple[JointRow, ...]) -> Table:
    table = _table("Added up", "Together", "Pieces")
    for row in rows:
        table.add_row(row.single or "not all measured", row.together, _members(row))
    return table


def _piece(piece: Piece) -> Text:
    """A piece among the words around it."""
    words = Text().append(piece.name + " " if piece.name else "", _LABEL)
    words.append(visible(piece.before)).append_text(_quoted(piece.whole))
    return words.append(visible(piece.after))


def _named(name: str, text: str) -> Text:
    """A piece without the words around it."""
    return Text().append(name + " " if name else "", _LABEL).append_text(_quoted(text))


def _quoted(text: str) -> Text:
    return Text().append(f"‹{visible(shortened(text, _ROW_LENGTH))}›", _LABEL)


def _drivers(found: tuple[Driver, ...]) -> Table:
    table = _table("Nats", "Piece")
    for driver in found:
        table.add_row(driver.nats, _piece(driver.piece))
    return table


def _members(row: JointRow) -> Text:
    words = Text(", ").join(_named(piece.name, piece.text) for piece in row.pieces)
    if row.left_out:
        words.append(f" and {row.left_out} others")
    return words.append(f" {row.in_words}") if row.in_words else words
