"""Where in the model the highest pieces act: their values when hidden in one band of layers at a time."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from attn_audit.evidence.measured import Evidence, Profile
from attn_audit.judge.relevance import fall
from attn_audit.reports.figures import Strip, strips
from attn_audit.reports.numbers import nats
from attn_audit.reports.pieces import Piece
from attn_audit.words import say


@dataclass(frozen=True)
class ProfileRow:
    """One piece. ``values``: nats, one for each band of the table; ``strongest``: the place of its highest value of
    all bands, None when that stands in another table or is not positive; ``strip``: the values as columns."""

    piece: Piece
    values: tuple[str, ...]
    strongest: int | None
    strip: Strip


@dataclass(frozen=True)
class ProfileTable:
    """As many bands as fit beside each other, and all pieces of the profile."""

    bands: tuple[str, ...]
    rows: tuple[ProfileRow, ...]


def profile_tables(evidence: Evidence, pieces: tuple[Piece, ...], *, across: int) -> tuple[ProfileTable, ...]:
    """The bands in order, at most ``across`` in a table; empty when no profile was measured."""
    profile = evidence.profile
    if profile is None:
        return ()
    values = [[fall(evidence.answer.base, row) for row in table] for table in profile.scores]  # (bands, units), nats
    size = ceil(len(values) / ceil(len(values) / across)) if values else 1  # tables of about the same width
    firsts = range(0, len(values), size)
    return tuple(_table(first, min(first + size, len(values)), profile, values, pieces) for first in firsts)


def layers(band: tuple[int, int]) -> str:
    """``layers 0–7`` for the band 0:8."""
    start, stop = band
    if stop == start + 1:
        return say("layer %(layer)s", layer=start)
    return say("layers %(first)s–%(last)s", first=start, last=stop - 1)


def _table(
    first: int, stop: int, profile: Profile, values: list[list[float]], pieces: tuple[Piece, ...]
) -> ProfileTable:
    rows = []
    drawn = strips(list(zip(*values, strict=True)))  # one scale for all tables
    for place, unit in enumerate(profile.units):
        column = [table[place] for table in values]
        highest = max(range(len(column)), key=lambda band: (column[band], -band))
        rows.append(
            ProfileRow(
                piece=pieces[unit],
                values=tuple(nats(value) for value in column[first:stop]),
                strongest=highest - first if first <= highest < stop and column[highest] > 0 else None,
                strip=Strip(drawn[place].zero, drawn[place].columns[first:stop]),
            )
        )
    return ProfileTable(tuple(layers(band) for band in profile.bands[first:stop]), tuple(rows))
