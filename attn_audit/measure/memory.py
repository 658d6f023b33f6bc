"""A full memory, as torch reports it, to Python's own error for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

_WORDS = ("can't allocate memory", "out of memory")


@contextmanager
def as_memory_error() -> Iterator[None]:
    """torch raises a RuntimeError of its own words when memory runs out; here it becomes MemoryError."""
    try:
        yield
    except RuntimeError as error:
        if any(words in str(error) for words in _WORDS):
            raise MemoryError(str(error)) from None
        raise
