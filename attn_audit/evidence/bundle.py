"""The audit folder on disk: where each file stands, and writing whole or not at all."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from attn_audit.evidence.errors import EvidenceError, Incomplete, UsageError
from attn_audit.evidence.records import ViewFormat

CONTENT = "content.json"
EVIDENCE = "evidence.json"
MANIFEST = "model.manifest.json"
INDEX, INDEX_PAGES = "index.html", "index"  # the folder of its further pages, where there are any
VERIFY_PAGE = "VERIFY.md"
SUMS, SUMS_SIGNATURE = "SHA256SUMS", "SHA256SUMS.sig"
CASES = "cases"
SIGNED, UNSIGNED = ".sigstore.json", ".unsigned.json"
PLAN, ATTESTATION, SEAL, REDACTION = "plan", "attestation", "seal", "redaction"
_FILE_LIMIT = 64 << 20  # bytes; a case of 100,000 scores takes about 2 MiB
_BATCH_LIMIT = 256 << 20  # what names 100,000 cases: a seal with a pair for each takes 100 MiB, SHA256SUMS up to 80
_TABLE_LIMIT = 4 << 30
_PART = 1 << 20
_PENDING = ".pending-"


def view_name(view: ViewFormat) -> str:
    """The file a view is written to."""
    return f"report.{view}"


def subject_names(views: tuple[ViewFormat, ...]) -> tuple[str, ...]:
    """The files of a case that its attestation must name, and no others."""
    return (CONTENT, EVIDENCE, *(view_name(view) for view in views))


def statement_name(stem: str, *, signed: bool) -> str:
    """``plan.sigstore.json`` when there is a signature, ``plan.unsigned.json`` when not."""
    return stem + (SIGNED if signed else UNSIGNED)


def statement_file(folder: Path, stem: str) -> Path:
    """The signed file of that statement, or the unsigned one where only that exists."""
    unsigned = folder / statement_name(stem, signed=False)
    signed = folder / statement_name(stem, signed=True)
    return unsigned if os.path.lexists(unsigned) and not os.path.lexists(signed) else signed


def is_folder(path: Path) -> bool:
    """Whether it can be seen to be one: no error for a path that is too long or may not be looked at."""
    try:
        return stat.S_ISDIR(path.stat().st_mode)
    except (OSError, ValueError):
        return False


def salts_file(out: Path) -> Path:
    """Beside the folder of an audit that is not finished: the salts of its planned cases (batch/planning.py)."""
    whole = out.resolve()
    return whole.with_name(whole.name + ".salts")


def create_folder(out: Path) -> None:
    """A new, empty audit folder. Raises UsageError where something stands there already."""
    try:
        out.mkdir(parents=True)
        (out / CASES).mkdir()
    except FileExistsError:
        raise UsageError(f"output folder {out} exists already; name another") from None
    except OSError as error:
        raise UsageError(f"output folder {out} cannot be made: {error.strerror}; name another") from None


@contextmanager
def locked(out: Path) -> Iterator[None]:
    """One writer for an audit folder (attack 53). The lock is the system's, on the folder itself: it ends with the
    process, however that ends, and leaves no file. Raises UsageError where another process holds it."""
    import fcntl  # noqa: PLC0415  (not on Windows, where audits are verified and not written)

    try:
        folder = os.open(out, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise UsageError(f"{out} cannot be opened as a folder: {error.strerror}") from None
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(f"another process is writing to {out}; wait for it to end") from None
        except OSError as error:
            raise UsageError(f"{out} cannot be locked: {error.strerror}; choose a folder on a local disk") from None
        yield
    finally:
        os.close(folder)


def write_file(path: Path, data: bytes, *, mode: int = 0o666) -> None:
    """The whole file or none of it: written beside, flushed, renamed. Raises Incomplete."""
    write_parts(path, (data,), mode=mode)


def write_parts(path: Path, parts: Iterable[bytes], *, mode: int = 0o666) -> None:
    """The same of a file that is made part by part. Raises Incomplete."""
    pending = path.with_name(_PENDING + path.name)
    try:
        pending.unlink(missing_ok=True)  # of a process that was killed: only one writes here
        with os.fdopen(os.open(pending, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.writelines(parts)
            file.flush()
            os.fsync(file.fileno())
        pending.replace(path)
    except OSError as error:
        _drop(pending)
        raise Incomplete(f"{path.name} cannot be written: {error.strerror}; nothing half written is left") from None
    except BaseException:
        _drop(pending)
        raise


def _drop(pending: Path) -> None:
    with suppress(OSError):
        pending.unlink(missing_ok=True)


def write_case(out: Path, case_id: str, files: Mapping[str, bytes]) -> None:
    """One case folder, renamed into place when all its files are on the disk. Raises Incomplete."""
    pending = out / (_PENDING + case_id)
    try:
        pending.mkdir()
        for name, data in files.items():
            write_file(pending / name, data)
        pending.rename(out / CASES / case_id)
    except OSError as error:
        raise Incomplete(f"the case's folder cannot be written: {error.strerror}") from None
    finally:
        shutil.rmtree(pending, ignore_errors=True)


def remove(out: Path, *names: str) -> None:
    """Remove files that may be there, in that order. Raises Incomplete."""
    for name in names:
        try:
            (out / name).unlink(missing_ok=True)
        except OSError as error:
            raise Incomplete(f"{name} cannot be removed: {error.strerror}") from None


def write_index(out: Path, pages: Iterable[tuple[str, bytes]]) -> None:
    """The pages of the index, each as it comes: one that stands there already is left alone, and further pages that are
    not among them go. Raises Incomplete, and EvidenceError where a link stands in the folder."""
    names_in(out)
    named = set()
    for name, data in pages:
        path = out / name
        if path.parent != out:
            _make_folder(path.parent)
        if not os.path.lexists(path) or digest_of(path) != hashlib.sha256(data).hexdigest():
            write_file(path, data)
        named.add(name)
    remove_index_pages(out, keep=frozenset(named))


def remove_index_pages(out: Path, *, keep: frozenset[str] = frozenset()) -> None:
    """Remove the further pages of the index but those to be kept, and their folder where it is empty then. Raises
    Incomplete, and EvidenceError where a link stands in the folder."""
    if INDEX_PAGES not in names_in(out):
        return
    there = {f"{INDEX_PAGES}/{name}" for name in names_in(out / INDEX_PAGES)}
    remove(out, *sorted(there - keep))
    if not keep & there:
        try:
            (out / INDEX_PAGES).rmdir()
        except OSError as error:
            raise Incomplete(f"{INDEX_PAGES} cannot be removed: {error.strerror}") from None


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise Incomplete(f"{folder.name} cannot be made: {error.strerror}") from None


def forget_salts(out: Path) -> None:
    """Remove what ``--plan`` and ``--resume`` need and nobody else may have. Raises Incomplete."""
    salts = salts_file(out)
    remove(salts.parent, salts.name)


def remove_unfinished(out: Path) -> None:
    """Remove what a process that was killed had begun to write. Raises Incomplete."""
    try:
        places = ("", f"{CASES}/*/", f"{INDEX_PAGES}/")
        for left in [path for place in places for path in out.glob(f"{place}{_PENDING}*")]:
            shutil.rmtree(left) if left.is_dir() and not left.is_symlink() else left.unlink()
    except OSError as error:
        raise Incomplete(f"{error.filename} cannot be removed: {error.strerror}") from None


def paths_in(out: Path, depth: int = 3) -> Iterator[str]:
    """Every file of an audit folder and those below, relative and with slashes, in the order of these paths. What is in
    the folder is listed at once, what is below when it is reached. Raises EvidenceError where one is a link, or lies
    deeper than the files of a case."""
    names = {f"{name}/" if (out / name).is_dir() else name for name in names_in(out)}
    return _paths(out, sorted(names), depth)  # with the slash: "a-b/x" is before "a/x", as in the order of whole paths


def _paths(out: Path, names: Iterable[str], depth: int) -> Iterator[str]:
    for name in names:
        if not name.endswith("/"):
            yield name
        elif depth > 1:
            yield from (f"{name}{inner}" for inner in paths_in(out / name, depth - 1))
        else:
            raise EvidenceError(f"{name[:-1]!r:.80} is a folder; an audit has none there")


def read_file(path: Path) -> bytes:
    """The bytes of a regular file that is no link, up to 64 MiB. Raises EvidenceError."""
    return b"".join(_parts(path, _FILE_LIMIT))


def read_statement(path: Path) -> bytes:
    """The same of a statement, up to 256 MiB: a seal names every case of a batch. Raises EvidenceError."""
    return b"".join(parts_of_list(path))


def parts_of_list(path: Path) -> Iterator[bytes]:
    """The bytes of a file that names every file of a batch, a part at a time, up to 256 MiB. Raises EvidenceError."""
    return _parts(path, _BATCH_LIMIT)


def digest_of(path: Path) -> str:
    """The sha256 of a regular file that is no link, up to 4 GiB: of the table of all pieces, for instance. Raises
    EvidenceError."""
    digest = hashlib.sha256()
    for part in _parts(path, _TABLE_LIMIT):
        digest.update(part)
    return digest.hexdigest()


def copy_file(path: Path, target: Path) -> None:
    """A file of an audit to another place, whole or not at all. Raises EvidenceError and Incomplete."""
    write_parts(target, _parts(path, _TABLE_LIMIT))


def _parts(path: Path, limit: int) -> Iterator[bytes]:
    """The bytes of a regular file that is no link, a part at a time. Raises EvidenceError."""
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    except OSError as error:
        raise EvidenceError(f"{path.name} cannot be read: {error.strerror}") from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise EvidenceError(f"{path.name} is not a file")
    left = limit
    with os.fdopen(descriptor, "rb") as file:
        while part := file.read(_PART):
            left -= len(part)
            if left < 0:
                raise EvidenceError(f"{path.name} is larger than {limit >> 20} MiB")
            yield part


def names_in(folder: Path) -> frozenset[str]:
    """The names directly in a folder. Raises EvidenceError where one is a link or the folder cannot be read."""
    try:
        entries = list(os.scandir(folder))
    except OSError as error:
        raise EvidenceError(f"{folder} cannot be read: {error.strerror}") from None
    for entry in entries:
        if entry.is_symlink():
            raise EvidenceError(f"{folder.name}/{entry.name} is a link; an audit holds files and folders only")
    return frozenset(entry.name for entry in entries)
