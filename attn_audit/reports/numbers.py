"""Numbers to the words and digits that a reader sees; every view writes them in the same way."""

from __future__ import annotations

from math import exp

from attn_audit.words import say

_MINUS = "\N{MINUS SIGN}"
_NO_BREAK = "\N{NO-BREAK SPACE}"
_LEAST_PER_CENT = 0.001
_LEAST_LOG = -34.5  # about 1 in 10^15


def nats(value: float) -> str:
    """A signed value with three decimals and a true minus sign; zero has no sign."""
    return _signed(value, 3)


def in_nats(value: float) -> str:
    """The same with its unit."""
    return say("%(value)s nats", value=nats(value))


def short_nats(value: float) -> str:
    """A signed value with two decimals, for the margin of a heat-map."""
    return _signed(value, 2)


def share(value: float) -> str:
    """A share of one, in per cent."""
    return f"{100 * value:.1f}{_NO_BREAK}%"


def plain(text: str) -> str:
    """The text with spaces that break a line, for machines."""
    return text.replace(_NO_BREAK, " ")


def points(value: float) -> str:
    """A difference of two shares of one, in percentage points."""
    return _signed(100 * value, 1)


def probability(log_probability: float) -> str:
    """A log-probability in nats as a probability: per cent, or "about 1 in N" when it is small."""
    if log_probability < _LEAST_LOG:
        return say("less than 1 in 10^15")
    value = exp(log_probability)
    if value >= _LEAST_PER_CENT:
        return f"{100 * value:.1f}{_NO_BREAK}%"
    return say("about 1 in %(count)s", count=size(round(float(f"{1 / value:.2g}"))))


def size(count: int) -> str:
    """A count with thousands separators."""
    return f"{count:,}"


def _signed(value: float, decimals: int) -> str:
    text = f"{abs(value):.{decimals}f}"
    if float(text) == 0:
        return text
    return ("+" if value > 0 else _MINUS) + text
