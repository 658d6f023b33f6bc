"""Which cases stand on which page of the index, what the pages are called, and how one leads to another."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import ceil

from attn_audit.evidence import bundle

# A case with five policies takes 4 KB: so many stay below a megabyte (tests/test_index_pages.py).
CASES_A_PAGE = 200
_NEAR = 2  # pages before and after this one that are linked by their numbers
_FLAT = 30  # pages that are listed without being grouped
_GROUP = 25
_RUNS = 10


@dataclass(frozen=True)
class PageLink:
    """A page and the way to it from the page at hand."""

    number: int
    href: str


@dataclass(frozen=True)
class Paging:
    """A page among the others. ``first``, ``last``: numbers of its cases; ``root``: the way to the audit folder;
    ``before``, ``after``: None at the ends; ``near``: this page and those around it."""

    number: int
    pages: int
    first: int
    last: int
    cases: int
    root: str
    begin: PageLink
    end: PageLink
    before: PageLink | None
    after: PageLink | None
    near: tuple[PageLink, ...]

    @property
    def divided(self) -> bool:
        return self.pages > 1


@dataclass(frozen=True)
class ListedPage:
    """A page in the list of all, with the ids of its first and last case."""

    link: PageLink
    first_id: str
    last_id: str


@dataclass(frozen=True)
class PageGroup:
    """Neighbours in the list of all pages; ``first``, ``last``: numbers of their cases."""

    pages: tuple[ListedPage, ...]
    first: int
    last: int


@dataclass(frozen=True)
class Elsewhere:
    """On which pages cases stand, as seen from the first: runs of neighbours, each by its first and last page, and how
    many more pages are not named."""

    runs: tuple[tuple[PageLink, PageLink], ...] = ()
    left_out: int = 0


def page_count(cases: int) -> int:
    """At least one."""
    return max(1, ceil(cases / CASES_A_PAGE))


def page_of(number: int) -> int:
    """The page of a case by its number, from 1."""
    return (number - 1) // CASES_A_PAGE + 1


def page_name(page: int) -> str:
    """The path of a page in the audit folder: ``index.html``, ``index/0002.html`` and so on."""
    return bundle.INDEX if page == 1 else f"{bundle.INDEX_PAGES}/{page:04d}.html"


def page_names(pages: int) -> tuple[str, ...]:
    """The paths of so many pages, in order."""
    return tuple(map(page_name, range(1, pages + 1)))


def numbers_on(page: int, cases: int) -> range:
    """The numbers of the cases on a page."""
    return range((page - 1) * CASES_A_PAGE + 1, min(page * CASES_A_PAGE, cases) + 1)


def case_href(number: int) -> str:
    """The way from the first page to what is said of a case."""
    page = page_of(number)
    return f"{'' if page == 1 else page_name(page)}#case-{number}"


def paging(page: int, cases: int) -> Paging:
    pages, numbers = page_count(cases), numbers_on(page, cases)
    return Paging(
        number=page,
        pages=pages,
        first=numbers.start,
        last=numbers.stop - 1,
        cases=cases,
        root="" if page == 1 else "../",
        begin=_link(1, page),
        end=_link(pages, page),
        before=_link(page - 1, page) if page > 1 else None,
        after=_link(page + 1, page) if page < pages else None,
        near=tuple(_link(other, page) for other in range(max(1, page - _NEAR), min(pages, page + _NEAR) + 1)),
    )


def page_groups(ids: tuple[str, ...]) -> tuple[PageGroup, ...]:
    """The list of all pages, as the first page has it: one group, or several where they are many."""
    pages = page_count(len(ids))
    size = pages if pages <= _FLAT else _GROUP
    return tuple(_group(range(at, min(at + size, pages + 1)), ids) for at in range(1, pages + 1, size))


def elsewhere(pages: Iterable[int]) -> Elsewhere:
    """Neighbouring pages are joined."""
    runs: list[tuple[int, int]] = []
    for page in sorted(set(pages)):
        if runs and runs[-1][1] == page - 1:
            runs[-1] = (runs[-1][0], page)
        else:
            runs.append((page, page))
    sizes = [last - first + 1 for first, last in runs]
    shown = tuple((_link(first, 1), _link(last, 1)) for first, last in runs[:_RUNS])
    return Elsewhere(shown, sum(sizes[_RUNS:]))


def _link(page: int, seen_from: int) -> PageLink:
    """Pages but the first stand in one folder. A link to the page itself leads to its cases."""
    if page == seen_from:
        return PageLink(page, "#table")
    if seen_from == 1:
        return PageLink(page, page_name(page))
    return PageLink(page, f"../{bundle.INDEX}" if page == 1 else page_name(page).removeprefix(f"{bundle.INDEX_PAGES}/"))


def _group(pages: range, ids: tuple[str, ...]) -> PageGroup:
    held = [numbers_on(page, len(ids)) for page in pages]
    listed = [
        ListedPage(_link(page, 1), ids[numbers[0] - 1], ids[numbers[-1] - 1])
        for page, numbers in zip(pages, held, strict=True)
        if numbers
    ]
    return PageGroup(tuple(listed), held[0].start, held[-1].stop - 1)
