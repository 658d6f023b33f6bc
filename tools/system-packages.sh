#!/usr/bin/env bash
# Makes sure that the operating system has what pip cannot bring.
#
#   tools/system-packages.sh venv      what `python -m venv` needs ($PYTHON names the interpreter)
#   tools/system-packages.sh report    what WeasyPrint needs to write a PDF, and fonts for most scripts (43 MB)
#   tools/system-packages.sh fonts     the same, and fonts for Chinese, Japanese and Korean (91 MB more)
#   tools/system-packages.sh test      as for a report, and the programs that the tests run
#
# Missing packages are installed where that is possible without a question (Debian family, as root or with `sudo -n`).
# Otherwise the line to type is printed. Exit: 0 all is there, 3 something is missing, 2 wrong usage.
set -euo pipefail

PYTHON=${PYTHON:-.venv/bin/python}

has_program() { command -v "$1" >/dev/null 2>&1; }

# Does the dynamic loader find the library? $1: its soname on Linux.
has_library() { "$PYTHON" -c 'import ctypes, sys; ctypes.CDLL(sys.argv[1])' "$1" >/dev/null 2>&1; }

has_font() { has_program fc-list && [[ -n $(fc-list "$1") ]]; }

has_browser() { has_program chromium || has_program chromium-browser || has_program google-chrome; }

has_venv() { "$PYTHON" -c 'import ensurepip, venv' >/dev/null 2>&1; }

missing=()

# need PACKAGE CHECK...: remember the package when its check fails.
need() {
    local package=$1
    shift
    "$@" || missing+=("$package")
}

need_venv() {
    need "$("$PYTHON" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')" has_venv
}

need_report() {
    need libpango-1.0-0 has_library libpango-1.0.so.0
    need libpangoft2-1.0-0 has_library libpangoft2-1.0.so.0
    need libharfbuzz-subset0 has_library libharfbuzz-subset.so.0
    need fontconfig has_program fc-list
    # The report's own fonts come with it; these draw what a case says in other scripts than Latin, Greek and Cyrillic.
    need fonts-noto-core has_font 'Noto Sans Devanagari'
}

need_fonts() {
    need_report
    need fonts-noto-cjk has_font 'Noto Sans CJK SC'
}

need_test() {
    need_report
    need chromium has_browser
    need poppler-utils has_program pdftotext
    need qpdf has_program qpdf
    need jq has_program jq
    need openssl has_program openssl
    need openssh-client has_program ssh-keygen
    need strace has_program strace
}

# The command in front of apt-get, empty for root; fails where a password would be asked.
privilege() {
    if [[ $(id -u) -eq 0 ]]; then
        return 0
    fi
    has_program sudo && sudo -n true 2>/dev/null && echo sudo -n
}

install_missing() {
    local prefix apt
    prefix=$(privilege) || return 1
    # Without a network this must end, not hang.
    apt="$prefix env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Acquire::http::Timeout=30 -o Acquire::https::Timeout=30"
    apt+=" -o DPkg::Lock::Timeout=120"
    echo "Installing system packages: ${missing[*]}" >&2
    # A broken third-party list must not keep us from packages that are known already.
    $apt update >&2 || true
    $apt install -y --no-install-recommends "${missing[@]}" >&2
}

case ${1:-} in
    venv | report | fonts | test) ;;
    *)
        echo "usage: $0 venv|report|fonts|test" >&2
        exit 2
        ;;
esac

if [[ $(uname -s) == Darwin ]]; then
    # Library names differ there, so WeasyPrint itself is asked; Homebrew is never run for the user.
    if [[ $1 == venv ]] || "$PYTHON" -c 'import weasyprint' >/dev/null 2>&1; then
        exit 0
    fi
    echo "Pango is missing. Type: brew install pango" >&2
    exit 3
fi

"need_$1"
if [[ ${#missing[@]} -eq 0 ]]; then
    exit 0
fi
wanted=("${missing[@]}")
if ! has_program apt-get; then
    echo "Missing from this system (Debian's names): ${wanted[*]}. Install them with its package manager." >&2
    exit 3
fi
if ! install_missing; then
    echo "System packages are missing and could not be installed from here. Type:" >&2
    echo "  sudo apt-get update && sudo apt-get install -y --no-install-recommends ${wanted[*]}" >&2
    exit 3
fi
missing=()
"need_$1"
if [[ ${#missing[@]} -ne 0 ]]; then
    echo "Installed, but still not found: ${missing[*]}" >&2
    exit 3
fi
