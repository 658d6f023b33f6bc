"""Text that somebody else wrote to text that can be shown: what is invisible is written out as its code point."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

# A fixed table and not `unicodedata`: a report must not change with the Python that draws it. Control characters but
# newline and tab, format characters (bidi controls, zero-width, tags), variation selectors, fillers that are drawn as
# nothing, line separators, surrogates, private use, noncharacters. Visible format characters (U+0600) are left out.
_HIDDEN = re.compile(
    "["
    "\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f"
    "\u200b-\u200f\u2028-\u202e\u2060-\u206f\u2800\u3164\ud800-\udfff\ue000-\uf8ff\ufdd0-\ufdef\ufe00-\ufe0f\ufeff\uffa0"
    "\ufff0-\ufffb\ufffe\uffff\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0000-\U000e0fff\U000f0000-\U0010ffff"
    "]"
)
_RIGHT_TO_LEFT = "\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefe\U00010800-\U00010fff\U0001e800-\U0001eeff"
_FIRST_LETTER = re.compile(f"(?P<rtl>[{_RIGHT_TO_LEFT}])|[^\\W\\d_]")
_FOREIGN = re.compile("[^\t\n -~]")
# Scripts whose words cannot be taken for words in ASCII; without their digits, single parts of Korean syllables, and
# characters that Unicode keeps for compatibility alone, some of which can. A fixed table for the same reason.
_NATIVE = (
    "\u3005\u3041-\u3096\u309d\u309e\u30a1-\u30fa\u30fc-\u30fe\u3400-\u4dbf\u4e00-\u9fff\U00020000-\U0002ebef",  # CJK
    "\uac00-\ud7a3",  # Korean
    "\u0620-\u063f\u0641-\u0652\u0671-\u06d3",  # Arabic, also of Persian and Urdu
    "\u05b0-\u05bc\u05c1\u05c2\u05d0-\u05ea",  # Hebrew
    "\u0900-\u0963\u0971-\u097f",  # Devanagari
    "\u0980-\u09e3",  # Bengali
    "\u0b82-\u0bd7",  # Tamil
    "\u0e01-\u0e3a\u0e40-\u0e4e",  # Thai
)
_BESIDE = " -@\\[-`{-~\u060c\u061f\u3001\u3002\u3008-\u3011\u30fb\uff08\uff09\uff0c\uff1a"  # marks and digits
_NATIVE_NAME = re.compile("|".join(f"[{_BESIDE}]*[{letters}][{letters}{_BESIDE}]*" for letters in _NATIVE))
# What a CI system obeys in the output of a job: GitHub `::name::` at the start of a line and `##[name]` anywhere, Azure
# and TeamCity `##vso[` and `##teamcity[`, GitLab `section_start:` and `section_end:`. A pair of colons is taken where-
# ever it stands, since a table that folds a long text can put any of it at the start of a line.
LOG_COMMANDS = re.compile(r":(?=:)|#(?=#\w*\[)|(?<=section_start):|(?<=section_end):", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True)
class Part:
    """A run of text as it is shown; ``code_point`` when it stands for a character that cannot be seen."""

    text: str
    code_point: bool


def code_point(character: str) -> str:
    """``⟨U+202E⟩`` for the character U+202E."""
    return f"⟨U+{ord(character):04X}⟩"


def visible(text: str) -> str:
    """The text with every hidden character written out as its code point; newline and tab are kept."""
    return _HIDDEN.sub(lambda found: code_point(found.group()), text)


def without_commands(text: str) -> str:
    """The text as a stream that a CI system reads may hold it (attack 41): one character of whatever such a system
    could take for a command is written out as its code point."""
    return LOG_COMMANDS.sub(lambda found: code_point(found.group()), text)


def one_line(text: str, length: int) -> str:
    """At most ``length`` characters of the text as ``visible`` shows it, on one line."""
    return shortened(" ".join(visible(text).split()), length)


def hidden(text: str) -> int:
    """How many characters of the text ``visible`` writes out."""
    return len(_HIDDEN.findall(text))


def exact(name: str) -> str:
    """A name that must not be mistaken for a look-alike: each character outside ASCII is followed by its code point."""
    return _FOREIGN.sub(lambda found: _beside(found.group()), name)


def name(given: str) -> str:
    """The name that a case file gives to a field or to a part, which people read: as it is written where its letters
    are all of one script that cannot be mistaken for ASCII, with hidden characters written out; else ``exact``."""
    return visible(given) if _NATIVE_NAME.fullmatch(_HIDDEN.sub("", given)) else exact(given)


def parts(text: str) -> tuple[Part, ...]:
    """The shown text in runs, so that a layout can tell written-out code points from text that merely looks so."""
    runs: list[Part] = []
    done = 0
    for found in _HIDDEN.finditer(text):
        if found.start() > done:
            runs.append(Part(text[done : found.start()], code_point=False))
        runs.append(Part(code_point(found.group()), code_point=True))
        done = found.end()
    if done < len(text):
        runs.append(Part(text[done:], code_point=False))
    return tuple(runs)


def direction(text: str) -> Literal["ltr", "rtl"]:
    """The base direction of a text: that of its first letter. Stated, since not every renderer finds it by itself."""
    found = _FIRST_LETTER.search(text)
    return "rtl" if found is not None and found.group("rtl") else "ltr"


def shortened(text: str, length: int) -> str:
    """At most ``length`` characters of the text; says how many there are when some are left out."""
    return text if len(text) <= length else f"{text[:length].rstrip()} … ({len(text)} characters)"


def _beside(character: str) -> str:
    return code_point(character) if _HIDDEN.fullmatch(character) else character + code_point(character)
