"""The command line in this process, through the entry point that the installed program has."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from attn_audit.cli.main import main

CODES = frozenset({0, 1, 2, 3, 10, 20, 21, 22, 23, 130, 141})  # as README.md lists them; 1 is a bug


@dataclass(frozen=True)
class Ended:
    """How a command ended, and what it printed."""

    code: int
    out: str
    err: str

    @property
    def sentence(self) -> str:
        """The one line that says what was wrong."""
        lines = self.err.strip().splitlines()
        assert len(lines) == 1, self.err
        assert lines[0].startswith("error: ")
        assert self.out == ""
        return lines[0].removeprefix("error: ")


def call(*arguments: str | Path, **environment: str) -> Ended:
    """``call("verify", folder, ...)``: how ``attn-audit verify folder ...`` ends, with no variable of ours set but
    these."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("ATTN_AUDIT_")}
    out, err = io.StringIO(), io.StringIO()
    code: object = None
    with (
        mock.patch.object(sys, "argv", ["attn-audit", *map(str, arguments)]),
        mock.patch.dict(os.environ, ours | {"COLUMNS": "80"} | environment, clear=True),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            main()
        except SystemExit as ended:
            code = ended.code
    assert isinstance(code, int)
    return Ended(code, out.getvalue(), err.getvalue())


def completed(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """The same on a wide terminal, as if it had been another process."""
    ended = call(*arguments, **{"COLUMNS": "200"} | environment)
    return subprocess.CompletedProcess(arguments, ended.code, ended.out, ended.err)
