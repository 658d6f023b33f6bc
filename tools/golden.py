"""Write the views of kept records anew into tests/golden/: what they show is compared by the tests, line by line.

.venv/bin/python tools/golden.py
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "tests" / "golden"
sys.path.insert(0, str(ROOT / "tests"))

import page_views  # noqa: E402
import terminal_views  # noqa: E402

# Name of the file below tests/golden/ -> what gives its text.
VIEWS: dict[str, Callable[[], str]] = {
    **{f"terminal/{name}.txt": make for name, make in terminal_views.VIEWS.items()},
    **page_views.VIEWS,
}


def main() -> None:
    """Write all of them, and take away what no view gives any more."""
    for name, make in VIEWS.items():
        path = TARGET / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(make(), encoding="utf-8")
    for path in TARGET.rglob("*"):
        if path.is_file() and path.relative_to(TARGET).as_posix() not in VIEWS:
            path.unlink()


if __name__ == "__main__":
    main()
