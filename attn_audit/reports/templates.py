"""The template files of the reports: where they are, what their digest is, and the one way to render them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from attn_audit.evidence.errors import UsageError
from attn_audit.reports.figures import pairs
from attn_audit.reports.text import direction, exact, name, parts, visible
from attn_audit.words import spoken_now, translated


def templates_folder() -> Path:
    """``attn_audit/templates`` of an installed package, else ``templates`` of the checkout. Raises UsageError."""
    package = Path(__file__).resolve().parent.parent
    for folder in (package / "templates", package.parent / "templates"):
        if (folder / "report.html.j2").is_file():
            return folder
    raise UsageError("The report templates are missing beside the package; install attn-audit again.")


def template_digest() -> str:
    """sha256 over the sorted names and contents of all template files, each preceded by its length in bytes."""
    folder = templates_folder()
    files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if _counts(path)}
    digest = hashlib.sha256()
    for file in sorted(files):
        for field in (file.encode(), files[file]):
            digest.update(len(field).to_bytes(8, "big") + field)
    return digest.hexdigest()


def render(template: str, values: Mapping[str, Any]) -> str:
    """The template with its values, escaped."""
    return _environment(templates_folder()).get_template(template).render(values)


def _counts(path: Path) -> bool:
    return path.is_file() and path.name.endswith((".j2", ".css", ".toml", ".pot", ".ttf", ".txt"))


@cache
def _environment(folder: Path) -> Environment:
    # autoescape is stated, since by default it goes by file ending and `.j2` is none of them (attacks 32 and 33).
    environment = Environment(
        autoescape=True,
        extensions=["jinja2.ext.i18n"],
        loader=FileSystemLoader(folder),
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        auto_reload=False,
    )
    environment.newstyle_gettext = True  # type: ignore[attr-defined]  # `{% trans %}` calls these with its values
    environment.globals |= {"gettext": _gettext, "ngettext": _ngettext}
    environment.filters["translated"] = translated
    environment.filters["parts"] = parts
    environment.filters["exact"] = exact
    environment.filters["name"] = name
    environment.filters["direction"] = direction
    environment.filters["pairs"] = pairs
    return environment


def _gettext(text: str, /, **values: Any) -> Markup:
    return _filled(spoken_now().gettext(text), values)


def _ngettext(one: str, many: str, num: int, /, **values: Any) -> Markup:
    return _filled(spoken_now().ngettext(one, many, num), {"num": num} | values)


def _filled(text: str, values: Mapping[str, Any]) -> Markup:
    """Catalogue text is markup; the values in it are escaped, and go through what every expression goes through."""
    return Markup(text) % {name: _shown(value) for name, value in values.items()}  # noqa: S704


def _shown(value: Any) -> Any:
    """What every expression of every template goes through, so that no hidden character reaches a page (attack 36)."""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value
