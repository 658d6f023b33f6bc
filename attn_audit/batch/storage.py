"""How much of a disk a case will take. The figures were fitted to real audits (docs/scale.md) and are right to a factor
of two: how well texts compress into reports depends on the texts."""

from __future__ import annotations

from collections.abc import Iterable

from attn_audit.evidence.records import ViewFormat

_EVIDENCE = 7_000  # bytes: model, settings, run, checks
_UNIT = 130  # its positions and its relevance
_SCORE = 10  # one number
_CONTENT = 1_500
_TOKEN = 45  # of the prompt: its text, its id, its place; a script of three bytes a character takes more
_VIEWS: dict[ViewFormat, tuple[int, int, int]] = {  # of each: by itself, for a unit, for a token of the answer
    "html": (70_000, 300, 2_000),
    "pdf": (105_000, 450, 600),
}


def bytes_of(prompt: int, units: int, answers: Iterable[int], views: Iterable[ViewFormat]) -> int:
    """``prompt``: its tokens; ``answers``: the tokens of the answer, and of its contrast where there is one."""
    tokens = tuple(answers)
    evidence = _EVIDENCE + _UNIT * units + _SCORE * units * sum(tokens)
    content = _CONTENT + _TOKEN * (prompt + sum(tokens))
    drawn = (whole + unit * units + token * tokens[0] for whole, unit, token in (_VIEWS[view] for view in views))
    return evidence + content + sum(drawn)
