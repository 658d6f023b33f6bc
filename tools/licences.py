"""Write the table of docs/licences.md: what attn-audit needs to run, directly and in turn, and under which licence.

The licences are what the installed packages state of themselves. ``make golden`` runs it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution, metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PAGE = Path(__file__).resolve().parent.parent / "docs" / "licences.md"
OURS = "attn-audit"
ALLOWED = frozenset({  # each may be used with, and beside, a program under Apache-2.0
    "0BSD", "Apache-2.0", "Apache-2.0 WITH LLVM-exception", "BSD", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0", "CC0-1.0",
    "CNRI-Python", "ISC", "MIT", "MIT-0", "MIT-CMU", "MPL-1.1", "MPL-2.0", "PSF-2.0", "Zlib",
})  # fmt: skip
_BLOCK = re.compile(r"(<!-- licences: written by tools/licences\.py -->\n).*?(<!-- end -->)", re.DOTALL)
_NAMES = {  # what packages wrote before there was one way to write it
    "Apache": "Apache-2.0",
    "Apache 2.0 License": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD",
    "GNU General Public License v2 or later (GPLv2+)": "GPL-2.0-or-later",
    "GNU Lesser General Public License v2 or later (LGPLv2+)": "LGPL-2.1-or-later",
    "ISC License": "ISC",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "Mozilla Public License 1.1 (MPL 1.1)": "MPL-1.1",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
}


def needed() -> dict[str, tuple[str, ...]]:
    """Each package that is needed to run, by its name -> the packages that need it. What is not installed here, since
    another system or version of Python needs it, is left out."""
    found: dict[str, set[str]] = {}
    waiting, seen = [(OURS, "")], {(OURS, "")}
    while waiting:
        name, extra = waiting.pop()
        for required in _requirements(name, extra):
            found.setdefault(required[0], set()).add(name)
            if required not in seen:
                seen.add(required)
                waiting.append(required)
    return {name: tuple(sorted(by)) for name, by in sorted(found.items())}


def _requirements(name: str, extra: str) -> Iterator[tuple[str, str]]:
    """The installed packages that it needs with that extra, and each extra that it needs of them."""
    for line in distribution(name).requires or ():
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
            required = canonicalize_name(requirement.name)
            try:
                distribution(required)
            except PackageNotFoundError:
                continue
            yield from ((required, one) for one in ("", *sorted(requirement.extras)))


def licence(name: str) -> str:
    """As the package states it, in SPDX's names: ``A AND B`` where both hold, ``A OR B`` where one may be chosen."""
    stated = metadata(name)
    if expression := stated["License-Expression"]:
        return str(expression)
    classifiers = [line.rpartition(" :: ")[2] for line in stated.get_all("Classifier") or () if "License ::" in line]
    free = str(stated["License"] or "").strip()
    if free and len(free) < 40 and len(classifiers) < 2:
        return _NAMES.get(free, free)
    return " OR ".join(_NAMES.get(one, one) for one in classifiers)


def allowed(expression: str) -> bool:
    """Whether what it asks for is on the list; of several that may be chosen one is enough."""
    parts = expression.strip("()").split(" AND ")
    return all(any(one.strip("() ") in ALLOWED for one in part.split(" OR ")) for part in parts)


def rows() -> dict[str, str]:
    """Name of a package -> its row of the table."""
    return {name: f"| {name} | {licence(name)} | {', '.join(by)} |\n" for name, by in needed().items()}


def main() -> None:
    table = "| package | licence | needed by |\n| --- | --- | --- |\n" + "".join(rows().values())
    text = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(_BLOCK.sub(lambda block: block[1] + table + block[2], text), encoding="utf-8")


if __name__ == "__main__":
    main()
