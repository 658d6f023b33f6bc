"""Colours and how well they can be told apart (WCAG 2.2, "contrast ratio")."""

from __future__ import annotations

Rgb = tuple[int, int, int]
WHITE: Rgb = (255, 255, 255)
ENOUGH = 4.5  # the ratio that WCAG asks of text
_LINEAR_BELOW = 0.04045


def rgb(text: str) -> Rgb:
    """``#rrggbb``. Raises ValueError."""
    red, green, blue = bytes.fromhex(text.removeprefix("#"))
    return red, green, blue


def hexadecimal(colour: Rgb) -> str:
    """``#rrggbb``, in small letters."""
    return "#" + bytes(colour).hex()


def contrast(one: Rgb, other: Rgb) -> float:
    """From 1, alike, to 21, black on white."""
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def lightened(colour: Rgb, paper: Rgb) -> Rgb:
    """The colour with as little white as makes it told apart from a dark paper."""
    mixed = (_mixed(colour, WHITE, step / 20) for step in range(21))
    return next((one for one in mixed if contrast(one, paper) >= ENOUGH), WHITE)


def _mixed(one: Rgb, other: Rgb, part: float) -> Rgb:
    red, green, blue = (round(a + (b - a) * part) for a, b in zip(one, other, strict=True))
    return red, green, blue


def _luminance(colour: Rgb) -> float:
    parts = (value / 255 for value in colour)
    red, green, blue = (part / 12.92 if part <= _LINEAR_BELOW else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
