"""The words of every view of an audit, in one language at a time.

What stands in the code and in the templates is English, and is at the same time the key under which a translation has
its own words (GNU gettext). ``templates/words.pot`` lists all of it (tools/catalogue.py writes the file); a translation
is one ``.po`` file made from it. Records, what signatures cover, stay English in any language.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from gettext import NullTranslations

_words: ContextVar[NullTranslations] = ContextVar("words", default=NullTranslations())  # noqa: B039 - never changed


@contextmanager
def spoken(words: NullTranslations) -> Iterator[None]:
    """Views made within the block use these words."""
    token = _words.set(words)
    try:
        yield
    finally:
        _words.reset(token)


def spoken_now() -> NullTranslations:
    """The words in use."""
    return _words.get()


def noted(text: str) -> str:
    """The text itself: an entry of the catalogue that is translated later."""
    return text


def translated(text: str) -> str:
    """A text of the catalogue that has no values in it; any other text stays as it is."""
    return spoken_now().gettext(text) if text else text


def say(text: str, /, **values: object) -> str:
    """The text in the language spoken, with ``%(name)s`` replaced by the values."""
    return spoken_now().gettext(text) % values


def say_of(count: int, one: str, many: str, /, **values: object) -> str:
    """The same with ``%(count)s``, in the form that the language has for so many."""
    return spoken_now().ngettext(one, many, count) % {"count": count, **values}
