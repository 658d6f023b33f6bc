"""The first words of a text, for places that have room for a line."""

from __future__ import annotations

from attn_audit.reports.spans import Characters

_READ = 20  # times the length: what lies beyond cannot be among the first words, unless white space fills it


def first_words(text: str, length: int) -> str:
    """At most about ``length`` characters, on one line and never through the middle of a user-perceived character;
    an ellipsis where some are left out. Whole words, where the first is not too long by itself."""
    line = " ".join(text[: _READ * length].split())
    if len(line) <= length and len(text) <= _READ * length:
        return line
    end = min(length, len(line))
    characters = Characters(line)
    while not characters.begins(end):
        end += 1
    head = line[:end]
    words = head.rsplit(" ", 1)[0] if " " in head and line[end : end + 1].strip() else head
    return f"{words.rstrip()} …"
