"""What the case file and the settings change in the look of a page: the accent of the letterhead, the size of paper."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import get_args

from attn_audit.evidence.colour import hexadecimal, lightened, rgb
from attn_audit.evidence.errors import EvidenceError
from attn_audit.evidence.measured import Setting
from attn_audit.evidence.records import Letterhead
from attn_audit.evidence.settings import Paper

_DARK_PAPER = (0x16, 0x16, 0x16)  # --paper on dark screens, in templates/report.css
_PRINTED_ON: Mapping[Paper, str] = {"a4": "", "letter": "@page { size: letter; }\n"}
SIZES: Mapping[Paper, tuple[int, int]] = {"a4": (595, 842), "letter": (612, 792)}  # points, 1/72 inch
LOGO_ADDRESS = "data:image/png;base64,"


def more_css(size: Paper, letterhead: Letterhead | None) -> str:
    """What follows the stylesheet. The colour is written anew from its numbers, so that nothing else can be in it."""
    if letterhead is None or letterhead.colour is None:
        return _PRINTED_ON[size]
    colour = rgb(letterhead.colour)
    dark = f":root {{ --accent: {hexadecimal(lightened(colour, _DARK_PAPER))}; }}"
    on_screen = f"@media screen and (prefers-color-scheme: dark) {{ {dark} }}\n"
    return f":root {{ --accent: {hexadecimal(colour)}; }}\n{on_screen}{_PRINTED_ON[size]}"


def paper(settings: Sequence[Setting]) -> Paper:
    """The size that the settings of an audit name; A4 where they name none. Raises EvidenceError."""
    said = next((setting.value for setting in settings if setting.name == "paper"), "a4")
    for known in get_args(Paper):
        if said == known:
            return known  # type: ignore[no-any-return]  # get_args does not say what it gives
    raise EvidenceError(f"the setting paper is {said!r:.40}, which is no size of paper that is known")
