"""Pages in a real Chromium, and all that a page does of its own accord while it is open.

Playwright drives the browser of the system; it never downloads one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
Theme = Literal["light", "dark"]
THEMES: tuple[Theme, ...] = ("light", "dark")
# A page cannot listen for itself where its policy forbids scripts: this is run by the browser's own protocol.
_LISTEN = """
window.__blocked = [];
document.addEventListener("securitypolicyviolation", event => {
  window.__blocked.push(`${event.violatedDirective} ${event.blockedURI} ${event.sample}`);
});
"""


@dataclass
class Visit:
    """An open page and what it did: ``requests`` beside that for the page itself, all that a console shows, and dialogs
    and windows."""

    page: Page
    requests: list[str] = field(default_factory=list)
    console: list[str] = field(default_factory=list)
    dialogs: list[str] = field(default_factory=list)
    windows: list[str] = field(default_factory=list)

    @property
    def blocked(self) -> list[str]:
        """What the page's content security policy kept from it."""
        found: list[str] = self.page.evaluate("window.__blocked")
        return found

    def deeds(self) -> dict[str, list[str]]:
        """All of it by kind; empty for a page that only stands there."""
        found = {
            "requests": self.requests,
            "console": self.console,
            "dialogs": self.dialogs,
            "windows": self.windows,
            "blocked": self.blocked,
        }
        return {kind: deeds for kind, deeds in found.items() if deeds}


@contextmanager
def started(program: str) -> Iterator[Browser]:
    """The browser, without a window. Nothing that it does by itself goes to the network."""
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def visit(
    browser: Browser, file: Path, *, width: int = 1280, theme: Theme = "light", **context: Any
) -> Iterator[Visit]:
    """A file opened as a reader opens it. ``context``: of Playwright's ``new_context``, such as ``bypass_csp``, which a
    test needs to put something into the page, and ``device_scale_factor``."""
    settings: dict[str, Any] = {"viewport": {"width": width, "height": 900}, "color_scheme": theme, **context}
    with browser.new_context(**settings) as opened:
        yield _visited(opened, file)


def _visited(context: BrowserContext, file: Path) -> Visit:
    page = context.new_page()
    found = Visit(page)
    own = file.absolute().as_uri()
    page.add_init_script(_LISTEN)
    context.on("request", lambda request: None if request.url == own else found.requests.append(request.url))
    page.on("console", lambda message: found.console.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: found.console.append(f"error: {error}"))
    page.on("dialog", lambda dialog: (found.dialogs.append(dialog.message), dialog.dismiss()))
    context.on("page", lambda other: found.windows.append(other.url))
    page.goto(own, wait_until="load")
    return found
