#!/usr/bin/env bash
# Installs the packages of requirements.lock into .venv, and the project itself as editable.
set -euo pipefail
cd "$(dirname "$0")/.."

python=${PYTHON:-python3.11}
is_311='import sys; sys.exit(sys.version_info[:2] != (3, 11))'

if [ ! -x .venv/bin/python ]; then
    if ! "$python" -c "$is_311" 2>/dev/null; then
        echo "error: memnas needs Python 3.11, and '$python' is none." >&2
        echo "Install it (Debian 12: apt-get install python3.11 python3.11-venv), or name one: make PYTHON=/path/to/python3.11" >&2
        exit 1
    fi
    if ! "$python" -m venv .venv; then
        rm -rf .venv
        echo "error: '$python -m venv' failed. On Debian its other half is a package: apt-get install python3.11-venv" >&2
        exit 1
    fi
elif ! .venv/bin/python -c "$is_311" 2>/dev/null; then
    echo "error: .venv holds $(.venv/bin/python --version 2>&1), expected Python 3.11; remove the folder and run make again." >&2
    exit 1
fi

echo "Installing the packages of requirements.lock into .venv (a few minutes, about 6.5 GB) ..."
# One package comes only as source. setuptools is installed first to build it, so that pip fetches nothing that the
# lock does not name.
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1
build_tool=.venv/build-tool.txt
sed -n '/^setuptools==/,/[^\\]$/p' requirements.lock >"$build_tool"
.venv/bin/python -m pip install --quiet --require-hashes -r "$build_tool"
.venv/bin/python -m pip install --require-hashes --no-build-isolation -r requirements.lock
.venv/bin/python -m pip install --quiet --no-deps --no-build-isolation --editable .
