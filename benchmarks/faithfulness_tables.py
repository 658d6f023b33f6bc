"""Outcomes of faithfulness.py to Markdown tables, and to what they say in a sentence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, get_args

from faithfulness_figures import interquartile_mean, interval
from faithfulness_methods import METHODS, OURS
from faithfulness_verdicts import Judged, Verdicts

from attn_audit.judge.faithfulness import Verdict, average

REFERENCE = "total"  # what differences are taken from
SEED = 0  # of the intervals
AS_MUCH = 1.1  # times the passes of ours: what a method of equal cost may take


@dataclass(frozen=True)
class Outcome:
    """One question: the ``figures`` of each method that was measured on it. ``about`` is recorded beside them."""

    name: str
    group: str
    figures: Mapping[str, Mapping[str, float]]
    verdicts: Verdicts | None
    about: Mapping[str, Any]


@dataclass(frozen=True)
class Column:
    """One figure of all items in a number."""

    title: str
    figure: str
    over: Callable[[Sequence[float]], float] = fmean


SQUAD_COLUMNS = (
    Column("top-1", "top1"),
    Column("precision", "precision"),
    Column("its IQM", "precision", interquartile_mean),
    Column("recall", "recall"),
    Column("its IQM", "recall", interquartile_mean),
    Column("comprehensiveness", "comprehensiveness"),
    Column("sufficiency", "sufficiency"),
)


def table(outcomes: Sequence[Outcome], main: Column, columns: Sequence[Column] = ()) -> str:
    """A line a method, from the cheapest on: passes, the main figure, its difference from ours, other figures."""
    headings = ["method", "items", "passes", f"{main.title} [95 %]", "less ours [95 %]"]
    groups = _groups(outcomes)
    if len(groups) > 1:
        headings += [group.replace("_", " ") for group in groups]
    headings += [column.title for column in columns]
    rows = []
    for name in by_cost(outcomes):
        row = [title(name), str(len(_of(outcomes, name))), f"{_mean(outcomes, name, 'passes'):.1f}"]
        row += [_with_interval(_values(outcomes, name, main.figure), ".3f"), _less_ours(outcomes, name, main.figure)]
        if len(groups) > 1:
            parts = ([one for one in outcomes if one.group == group] for group in groups)
            row += [f"{_mean(part, name, main.figure):.3f}" if _of(part, name) else "-" for part in parts]
        row += [f"{column.over(_values(outcomes, name, column.figure)):.2f}" for column in columns]
        rows.append(row)
    return markdown(headings, rows)


def standings(outcomes: Sequence[Outcome], main: Column) -> Iterator[str]:
    """For each of our methods, and each part of the set: is it first among what takes at most as much?"""
    parts = {group: [one for one in outcomes if one.group == group] for group in _groups(outcomes)}
    for group, part in {"": outcomes, **(parts if len(parts) > 1 else {})}.items():
        for name in (one for one in OURS if _of(part, one)):
            yield f"{group + ', ' if group else ''}{_standing(part, name, main)}"


def _standing(outcomes: Sequence[Outcome], name: str, main: Column) -> str:
    most = AS_MUCH * _mean(outcomes, name, "passes")
    others = [one for one in by_cost(outcomes) if one not in OURS and _mean(outcomes, one, "passes") <= most]
    mine = _mean(outcomes, name, main.figure)
    if not others:
        return f"`{name}`: {mine:.3f}; nothing else takes as little"
    best = max(others, key=lambda one: _mean(outcomes, one, main.figure))
    differences = _differences(outcomes, name, best, main.figure)
    low, high = interval(differences, SEED)
    place = "first" if fmean(differences) >= 0 else "within the interval of the first" if high >= 0 else "NOT first"
    return (
        f"`{name}`: {mine:.3f}; the best of the {len(others)} others that take no more: `{best}`, "
        f"{_mean(outcomes, best, main.figure):.3f}; "
        f"difference {fmean(differences):+.3f} [{low:+.3f}, {high:+.3f}]: {place}"
    )


def verdicts_table(outcomes: Sequence[Outcome]) -> str:
    """How many maps the package's check calls supported, true ones and shuffled ones."""
    found = [one.verdicts for one in outcomes if one.verdicts is not None]
    names: tuple[Verdict, ...] = get_args(Verdict)
    rows = []
    for kind, judged in (
        ("true maps", [one.true for one in found]),
        ("shuffled maps", [judged for one in found for judged in one.shuffled]),
    ):
        counts = Counter(one.verdict for one in judged)
        rows.append([kind, str(len(judged)), *(str(counts[name]) for name in names)])
    return markdown(["", "maps", *names], rows)


def unsupported(outcomes: Sequence[Outcome]) -> Iterator[str]:
    """The true maps that are not supported, with what the verdict was judged from."""
    for one in outcomes:
        if one.verdicts is not None and one.verdicts.true.verdict != "supported":
            yield f"{one.name}: {_explained(one.verdicts, one.verdicts.true)}"


def _explained(verdicts: Verdicts, found: Judged) -> str:
    top = ", ".join(f"“{text}” {value:+.2f}" for text, value in verdicts.top)
    return (
        f"{found.verdict}, p = {found.p:.3f}: {found.reached} of {len(found.random)} random draws fell at least as "
        f"far; sizes {', '.join(map(str, verdicts.sizes))}; "
        f"own falls {_nats(found.falls)}, average {average(found.falls):.2f}; "
        f"random averages: mean {fmean(found.random):.2f}, highest {max(found.random):.2f}; top: {top}"
    )


def _nats(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.2f}" for value in values)


# -- the parts of a table ---------------------------------------------------------------------------------------------


def markdown(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table as in docs/benchmarks.md."""
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def title(name: str) -> str:
    """Ours stand out."""
    return f"**{METHODS[name].title}**" if name in OURS else METHODS[name].title


def by_cost(outcomes: Sequence[Outcome]) -> list[str]:
    """The methods that were measured, from the cheapest on."""
    names = dict.fromkeys(name for one in outcomes for name in one.figures)
    return sorted(names, key=lambda name: _mean(outcomes, name, "passes"))


def _groups(outcomes: Sequence[Outcome]) -> list[str]:
    return list(dict.fromkeys(one.group for one in outcomes))


def _of(outcomes: Sequence[Outcome], name: str) -> list[Outcome]:
    return [one for one in outcomes if name in one.figures]


def _values(outcomes: Sequence[Outcome], name: str, figure: str) -> list[float]:
    return [one.figures[name][figure] for one in _of(outcomes, name)]


def _mean(outcomes: Sequence[Outcome], name: str, figure: str) -> float:
    return fmean(_values(outcomes, name, figure))


def _differences(outcomes: Sequence[Outcome], name: str, other: str, figure: str) -> list[float]:
    """Item by item, over those on which both were measured."""
    both = [one for one in _of(outcomes, name) if other in one.figures]
    return [one.figures[name][figure] - one.figures[other][figure] for one in both]


def _less_ours(outcomes: Sequence[Outcome], name: str, figure: str) -> str:
    if name == REFERENCE or not _of(outcomes, REFERENCE):
        return "-"
    return _with_interval(_differences(outcomes, name, REFERENCE, figure), "+.3f")


def _with_interval(values: Sequence[float], form: str) -> str:
    low, high = interval(values, SEED)
    return f"{fmean(values):{form}} [{low:{form}}, {high:{form}}]"
