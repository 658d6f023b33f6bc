"""The heat-map of each answer token: which tokens can be chosen, what each stands for, and how it colours each run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from attn_audit.evidence.measured import Evidence
from attn_audit.evidence.records import Content
from attn_audit.judge.relevance import by_token
from attn_audit.reports.heatmap import LEVELS, level
from attn_audit.reports.numbers import nats, probability
from attn_audit.reports.pieces import Piece
from attn_audit.reports.spans import Extract, Fragment, token_extracts
from attn_audit.reports.text import shortened

MOST_TOKENS = 100
MOST_COLOURS = 40_000  # coloured pieces of all tokens together: each costs about four bytes of the page
SUPPORTING = 3
AGAINST = 2
_LENGTH = 40
_BLANKS = str.maketrans({" ": "␣", "\t": "⇥", "\n": "↵"})
_FOR, _COUNTER = "abcde", "fghij"  # levels 1 to 5 and -1 to -5, as templates/tokens.css.j2 has them
Table = tuple[tuple[float, ...] | None, ...]  # (units, tokens), nats; 0 where rounding alone did as much


@dataclass(frozen=True)
class Strong:
    """A piece that supported a token, or spoke against it."""

    id: str
    before: str
    text: str
    after: str
    nats: str


@dataclass(frozen=True)
class TokenChoice:
    """An answer token that the map can be drawn for. ``text``: blanks are written out where there is nothing else;
    ``full``: the nats that full colour stands for, empty when no piece is told from rounding."""

    number: int
    text: str
    cut: bool
    probability: str
    full: str
    strongest: tuple[Strong, ...]


@dataclass(frozen=True)
class TokenMap:
    """The tokens that can be chosen, from the first on; none where there is nothing to choose between."""

    choices: tuple[TokenChoice, ...]
    left_out: int


def token_map(
    content: Content, evidence: Evidence, pieces: tuple[Piece, ...]
) -> tuple[TokenMap, Callable[[Fragment], str]]:
    """The tokens, and the classes that each run of the map has for them. ``pieces``: one for each unit."""
    table = _table(evidence)
    tops = _tops(table, len(evidence.answer.base))
    count = _offered(table, tops) if _differs(evidence) else 0
    extracts = token_extracts(content)
    choices = tuple(_choice(t, extracts[t], evidence, tops[t], table, pieces) for t in range(count))
    return TokenMap(choices, len(tops) - count), _classes(table, tops[:count])


def _table(evidence: Evidence) -> Table:
    base, floor = evidence.answer.base, evidence.sweep.noise
    return tuple(
        None if row is None else tuple(0.0 if abs(value) <= floor else value for value in by_token(base, row))
        for row in evidence.scores
    )


def _tops(table: Table, tokens: int) -> tuple[float, ...]:
    """The largest absolute value for each token, nats."""
    rows = [row for row in table if row is not None]
    return tuple(max((abs(row[t]) for row in rows), default=0.0) for t in range(tokens))


def _differs(evidence: Evidence) -> bool:
    """Whether the map of a token can differ from that of the answer."""
    measured = any(row is not None for row in evidence.scores)
    return measured and (len(evidence.answer.base) > 1 or evidence.contrast is not None)


def _offered(table: Table, tops: tuple[float, ...]) -> int:
    """How many tokens, from the first on, keep the page small."""
    colours = 0
    for t, top in enumerate(tops[:MOST_TOKENS]):
        colours += sum(row is not None and level(row[t], top) != 0 for row in table)
        if colours > MOST_COLOURS:
            return t
    return min(len(tops), MOST_TOKENS)


def _choice(
    t: int, extract: Extract, evidence: Evidence, top: float, table: Table, pieces: tuple[Piece, ...]
) -> TokenChoice:
    values = sorted(((row[t], -u) for u, row in enumerate(table) if row is not None), reverse=True)
    found = [(value, -u) for value, u in values[:SUPPORTING] if value > 0]
    found += [(value, -u) for value, u in values[: -AGAINST - 1 : -1] if value < 0]
    return TokenChoice(
        number=t + 1,
        text=extract.text if extract.text.strip() else extract.text.translate(_BLANKS),
        cut=extract.cut,
        probability=probability(evidence.answer.base[t]),
        full=f"{top:.3f}" if top else "",
        strongest=tuple(_strong(pieces[u], value) for value, u in found),
    )


def _strong(piece: Piece, value: float) -> Strong:
    return Strong(piece.id, piece.before, shortened(piece.whole, _LENGTH), piece.after, nats(value))


def _classes(table: Table, tops: tuple[float, ...]) -> Callable[[Fragment], str]:
    @cache
    def classes(units: tuple[int, ...]) -> str:
        rows = [row for index in units if (row := table[index]) is not None]
        found = []
        for t, top in enumerate(tops):
            step = level(max((row[t] for row in rows), key=abs, default=0.0), top)
            if step:
                found.append(f" {_letter(step)}{t + 1}")
        return "".join(found)

    return lambda fragment: classes(fragment.units)


def _letter(step: int) -> str:
    return (_FOR if step > 0 else _COUNTER)[min(LEVELS, abs(step)) - 1]
