"""What the tables of the terminal are made of: headings, columns, and pieces among the words around them."""

from __future__ import annotations

import re

from rich import box
from rich.console import RenderableType
from rich.padding import Padding
from rich.style import Style
from rich.table import Table
from rich.text import Text

from attn_audit.reports.pieces import Piece
from attn_audit.reports.text import shortened, visible
from attn_audit.words import translated

TEXT_WIDTH = 16  # at least
LABEL = Style(bold=True)
_ROW_LENGTH = 60
_FIGURE_WIDTH = 8  # unless a word of the heading is longer


def title(text: str) -> RenderableType:
    """A heading."""
    return Padding(Text(visible(text), style=LABEL), (1, 0, 0, 0))


def columns(*headings: str) -> Table:
    """Figures, and last a column of text that takes what they leave."""
    drawn = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 2, 0, 0), expand=True)
    for heading in headings[:-1]:
        width = max(_FIGURE_WIDTH, *map(len, heading.split()))
        drawn.add_column(heading, justify="right", overflow="fold", max_width=width)
    drawn.add_column(headings[-1], ratio=1, overflow="fold", min_width=TEXT_WIDTH)
    return drawn


def piece(one: Piece) -> Text:
    """A piece among the words around it."""
    words = Text().append(one.name + " " if one.name else "", LABEL)
    words.append(visible(one.before)).append_text(quoted(one.whole))
    return words.append(visible(one.after))


def named(name: str, text: str) -> Text:
    """A piece without the words around it."""
    return Text().append(name + " " if name else "", LABEL).append_text(quoted(text))


def quoted(text: str) -> Text:
    """Text of the case or of the model, cut to size."""
    return Text().append(f"‹{visible(shortened(text, _ROW_LENGTH))}›", LABEL)


def filled(sentence: str, **texts: Text) -> Text:
    """A sentence of the catalogue, with styled texts for its ``%(name)s``."""
    found = Text()
    for at, part in enumerate(re.split(r"%\((\w+)\)s", translated(sentence))):
        found.append_text(texts[part] if at % 2 else Text(part))
    return found
