"""The tables of ``attn-audit show``: named pieces, ranking, and what was measured beside them, in 80 columns."""

from __future__ import annotations

from rich import box
from rich.console import RenderableType
from rich.padding import Padding
from rich.style import Style
from rich.table import Table
from rich.text import Text

from attn_audit.reports.answer_parts import Driver, PartView, Steps
from attn_audit.reports.checks import ChecksView, SizeRow
from attn_audit.reports.findings import FindingRow
from attn_audit.reports.groups import Groups
from attn_audit.reports.joint import JointRow
from attn_audit.reports.pieces import Piece
from attn_audit.reports.profile import ProfileTable
from attn_audit.reports.ranking import NamedRow, Ranking, UnitRow
from attn_audit.reports.self_explanation import SelfExplanationView
from attn_audit.reports.text import exact, shortened, visible

BANDS_ACROSS = 4
_LOWEST = 3
_ROW_LENGTH = 60
_LABEL = Style(bold=True)
_ASIDE = Style(italic=True)
_FAINT = Style(dim=True)
_NONE = "–"
_WIDE = frozenset({"Text", "Piece of the answer", "Pieces", "Way of hiding", "Map", "What was found"})
_NARROW = frozenset({"Name", "On named parts", "Message", "Policy", "Result"})

Blocks = tuple[RenderableType, ...]


def named_pieces(rows: tuple[NamedRow, ...]) -> Blocks:
    """The pieces that the case names, wherever they stand in the ranking."""
    if not rows:
        return ()
    table = _table("Name", "Text", "Nats", "Share", "Rank")
    for row in rows:
        piece = row.piece
        table.add_row(
            Text(exact(piece.name), _LABEL),
            _quoted(piece.whole),
            row.nats,
            row.share or _NONE,
            row.rank or _NONE,
        )
    return (
        _title("Fields and named pieces of the case"),
        table,
        Text("A field is the text that was filled in; the same word elsewhere is a piece of its own."),
    )


def ranking(found: Ranking, rows: tuple[UnitRow, ...], top: int) -> Blocks:
    """The first ``top`` rows and the lowest."""
    direct = ("Direct",) if found.direct else ()
    table = _table("Rank", "Text", "Message", "Nats", "Share", *direct)
    first = rows[: max(top, 0)]
    lowest = tuple(row for row in rows[len(first) :][-_LOWEST:] if row.relevance < 0)
    left_out = len(rows) - len(first) - len(lowest)
    for row in first:
        table.add_row(*_cells(row, found))
    if left_out:
        table.add_row("", Text(f"… {left_out} pieces left out …", style=_ASIDE))
    for row in lowest:
        table.add_row(*_cells(row, found))
    if found.unmeasured:
        table.add_row("", Text(f"{found.unmeasured} further pieces were not measured", style=_ASIDE))
    notes = [
        "Nats: fall of the answer's log-probability when one piece is hidden. Not the model's reasons, not a cause."
    ]
    if found.unmeasured:
        notes.append("Share: of the positive relevance of the measured pieces.")
    if found.direct:
        notes.append("Direct: the piece was hidden only where the answer is predicted, not from the rest of the input.")
    return (_title("Ranking"), table, *(Text(note) for note in notes))


def parts(found: tuple[PartView, ...]) -> Blocks:
    """What drove each named part of the answer."""
    blocks: list[RenderableType] = []
    for part in found:
        blocks.append(_title(f"Part of the answer: {part.name}"))
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
        table.add_row(Text(f"… {found.left_out} weaker groups left out …", style=_ASIDE))
    return (_title("Pieces that say alike, hidden together"), table)


def checks(found: ChecksView) -> Blocks:
    """What pieces do together, and what came out when the map was made in other ways."""
    blocks: list[RenderableType] = []
    if found.together is not None:
        blocks += [_title("Highest pieces, hidden together"), _joint((found.together.whole, *found.together.pairs))]
    if found.repeated:
        blocks += [_title("Pieces with the same text, hidden together"), _joint(found.repeated)]
    if found.stability:
        table = _table("Way of hiding", "5 highest", "10 highest")
        for variant in found.stability:
            table.add_row(variant.name, *(variant.shared or ("not possible", "")))
        blocks += [_title("Share of the highest pieces that stay so when pieces are hidden in another way"), table]
    if found.paraphrases:
        table = _table("Text", "Probability", "5 highest", "10 highest")
        for other in found.paraphrases:
            table.add_row(_quoted(other.text), other.probability, *other.shared)
        blocks += [_title("The question in other words: share of the highest pieces with the same text"), table]
    if found.baselines:
        table = _table("Map", "On average", *(f"{row.pieces} deleted" for row in _rows(found)))
        for baseline in found.baselines:
            table.add_row(baseline.name, baseline.average or "not possible", *baseline.falls)
        blocks += [_title("Fall when the highest pieces of other kinds of maps are deleted (nats)"), table]
    return tuple(blocks)


def self_explanation(found: SelfExplanationView | None) -> Blocks:
    """The stated reason beside the decision."""
    if found is None:
        return ()
    table = _table("Text", "Decision", "Reason")
    for row in found.rows:
        table.add_row(_quoted(row.text), row.decision, row.rationale)
    gap = f" Confabulation gap {found.gap}." if found.gap else ""
    return (
        _title("The reason that the answer gives (written by the model; not evidence)"),
        Text.assemble("Decision ", _quoted(found.decision), ", stated reason ", _quoted(found.rationale)),
        Text(found.in_words + gap),
        table,
    )


def _joint(rows: tuple[JointRow, ...]) -> Table:
    table = _table("Pieces", "Added up", "Together")
    for row in rows:
        table.add_row(_members(row), row.single or "not all measured", row.together)
    return table


def _rows(found: ChecksView) -> tuple[SizeRow, ...]:
    return () if found.faithfulness is None else found.faithfulness.rows


def findings(rows: tuple[FindingRow, ...]) -> Blocks:
    """What became of the policies."""
    if not rows:
        return ()
    table = _table("Policy", "Result", "What was found")
    for row in rows:
        found = [words for words, _ in row.rules]
        found += [f"not measured as the policy asks: {row.differs}"] if row.differs else []
        result = row.outcome if row.severity == "fail" else f"{row.outcome} (a warning only)"
        table.add_row(Text(visible(row.policy), _LABEL), result, Text(visible("\n".join(found) or _NONE)))
    return (_title("Policies"), table)


def steps(found: Steps | None) -> Blocks:
    """What earlier pieces of the answer did to the rest of it."""
    if found is None:
        return ()
    named = bool(found.rows and any(step.parts for step in found.rows))
    table = _table("No.", "Piece of the answer", "On the rest", *(("On named parts",) if named else ()))
    for step in found.rows:
        effects = "\n".join(f"{visible(effect.name)}: {effect.nats or _NONE}" for effect in step.parts)
        table.add_row(str(step.number), _quoted(step.text), step.nats or _NONE, *((Text(effects),) if named else ()))
    if found.left_out:
        table.add_row("", Text(f"… {found.left_out} weaker pieces left out …", style=_ASIDE))
    note = "The answer's words are the model's text, not evidence of reasons; only the measured effect (nats) is."
    return (_title("Which steps of the answer drove the rest of it"), table, Text(note))


def profile(tables: tuple[ProfileTable, ...]) -> Blocks:
    """Where in the model the highest pieces act."""
    blocks: list[RenderableType] = [_title("Highest pieces, hidden in one band of layers at a time (nats)")]
    for found in tables:
        table = _table("Text", *found.bands)
        for row in found.rows:
            table.add_row(_named(row.piece.name, row.piece.whole), *row.values)
        blocks.append(table)
    return tuple(blocks) if tables else ()


def _table(*columns: str) -> Table:
    """A table whose text columns share what the figures leave."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, expand=True)
    for column in columns:
        if column in _WIDE:
            table.add_column(column, ratio=1, overflow="fold")
        elif column in _NARROW:
            table.add_column(column, overflow="fold", max_width=24)
        else:
            table.add_column(column, justify="right", overflow="fold", max_width=12)
    return table


def _title(text: str) -> RenderableType:
    return Padding(Text(visible(text), style=_LABEL), (1, 0, 0, 0))


def _cells(row: UnitRow, found: Ranking) -> tuple[RenderableType, ...]:
    direct = (row.direct,) if found.direct else ()
    value = Text(row.nats, style=_FAINT if row.noise else Style.null())
    return (str(row.rank), _piece(row.piece), row.piece.where, value, row.share or _NONE, *direct)


def _piece(piece: Piece) -> Text:
    """A piece among the words around it."""
    words = Text(exact(piece.name) + " " if piece.name else "", style=_LABEL)
    words.append(visible(piece.before), Style.null())
    words.append_text(_quoted(piece.whole))
    return words.append(visible(piece.after), Style.null())


def _named(name: str, text: str) -> Text:
    """A piece without the words around it."""
    return Text(exact(name) + " " if name else "", style=_LABEL).append_text(_quoted(text))


def _quoted(text: str) -> Text:
    return Text(f"‹{visible(shortened(text, _ROW_LENGTH))}›", style=_LABEL)


def _drivers(found: tuple[Driver, ...]) -> Table:
    table = _table("Text", "Nats")
    for driver in found:
        table.add_row(_piece(driver.piece), driver.nats)
    return table


def _members(row: JointRow) -> Text:
    words = Text(", ").join(_named(piece.name, piece.text) for piece in row.pieces)
    if row.left_out:
        words.append(f" and {row.left_out} others")
    return words.append(f" {row.in_words}", Style.null()) if row.in_words else words
