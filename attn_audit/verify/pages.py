"""The pages about a whole batch: which files they are, and that they follow from the records."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from attn_audit import __version__
from attn_audit.evidence import bundle
from attn_audit.evidence.digest import sha256
from attn_audit.evidence.errors import EvidenceError
from attn_audit.evidence.statements import Seal
from attn_audit.evidence.store import Sealed
from attn_audit.reports.paging import page_count, page_names
from attn_audit.verify.signature import Opened

Pages = Callable[[Sealed], Iterable[tuple[str, bytes]]]


def present(out: Path) -> frozenset[str]:
    """What lies in an audit folder, and in that of the index's further pages. Raises EvidenceError."""
    names = bundle.names_in(out)
    further = bundle.names_in(out / bundle.INDEX_PAGES) if bundle.INDEX_PAGES in names else frozenset[str]()
    return names | {f"{bundle.INDEX_PAGES}/{name}" for name in further}


def index_files(seal: Opened[Seal] | None, found: frozenset[str]) -> frozenset[str]:
    """The pages of the index and their folder. Another version may have divided it otherwise: then as many as there
    are, one after another."""
    if seal is None or seal.statement.predicate.tool.version != __version__:
        pages = 1 + sum(name.startswith(f"{bundle.INDEX_PAGES}/") for name in found)
    else:
        pages = page_count(len(seal.statement.predicate.cases))
    return frozenset(page_names(pages)) | ({bundle.INDEX_PAGES} if pages > 1 else frozenset())


def one(name: str, page: Callable[[Sealed], bytes]) -> Pages:
    """A file that is one page."""
    return lambda sealed: ((name, page(sealed)),)


def check_same(out: Path, made: Iterable[tuple[str, bytes]]) -> None:
    """Compare files with what is rendered again, one at a time. Raises EvidenceError."""
    other = [name for name, data in made if sha256(data) != bundle.digest_of(out / name)]
    if other:
        more = f"; nor do {len(other) - 1} more of its pages" if len(other) > 1 else ""
        raise EvidenceError(f"{other[0]} does not follow from plan, seal and evidence{more}")
