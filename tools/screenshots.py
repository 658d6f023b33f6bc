"""Pictures of pages on screens of three widths, light and dark, and each page printed: all to be looked at at once.

    .venv/bin/python tools/screenshots.py AUDIT_OR_FOLDER OUT      every .html below the folder
    .venv/bin/python tools/screenshots.py OUT                      the pages of tests/pages.py, which need no model

OUT gets NAME-WIDTH-THEME.png and NAME-print.pdf, and NAME-print-1.png and so on where pdftoppm is installed.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from playwright.sync_api import Browser

import pages
from browser import PROGRAMS, THEMES, started, visit

WIDTHS = (390, 1280, 1920)


def shoot(browser: Browser, file: Path, stem: Path) -> None:
    for theme in THEMES:
        with visit(browser, file, theme=theme) as seen:
            for width in WIDTHS:
                seen.page.set_viewport_size({"width": width, "height": 900})
                seen.page.screenshot(path=f"{stem}-{width}-{theme}.png", full_page=True)
            if theme == "light":
                seen.page.pdf(path=f"{stem}-print.pdf", format="A4", prefer_css_page_size=True)
    if tool := shutil.which("pdftoppm"):
        subprocess.run([tool, "-r", "70", "-png", f"{stem}-print.pdf", f"{stem}-print"], check=True)  # noqa: S603


def shoot_all(folder: Path, out: Path) -> int:
    """How many pages there were."""
    out.mkdir(parents=True, exist_ok=True)
    program = next((path for name in PROGRAMS if (path := shutil.which(name))), None)
    if program is None:
        raise SystemExit(f"None of {', '.join(PROGRAMS)} is installed; tools/system-packages.sh test installs one.")
    files = sorted(folder.rglob("*.html"))
    with started(program) as browser:
        for file in files:
            shoot(browser, file, out / "-".join(file.relative_to(folder).with_suffix("").parts))
    return len(files)


def main(*arguments: str) -> int:
    if len(arguments) == 2:
        return shoot_all(Path(arguments[0]), Path(arguments[1]))
    if len(arguments) != 1:
        raise SystemExit(__doc__)
    with TemporaryDirectory() as folder:
        for name, made in pages.PAGES.items():
            (Path(folder) / f"{name}.html").write_bytes(made())
        return shoot_all(Path(folder), Path(arguments[0]))


if __name__ == "__main__":
    if not main(*sys.argv[1:]):
        raise SystemExit("There is no .html file below this folder.")
