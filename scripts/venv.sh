#!/usr/bin/env bash
# Makes .venv, and puts uv and setuptools into it in the versions and with the hashes of requirements.lock.
set -euo pipefail
cd "$(dirname "$0")/.."

python=${PYTHON:-python3.11}
is_known='import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))'

if [ ! -x .venv/bin/python ]; then
    if ! "$python" -c "$is_known" 2>/dev/null; then
        echo "error: memnas needs Python 3.11, 3.12 or 3.13, and '$python' is none." >&2
        echo "Install it (Debian 12: apt-get install python3.11 python3.11-venv), or name one: make PYTHON=/path/to/python3.11" >&2
        exit 1
    fi
    if ! "$python" -m venv .venv; then
        rm -rf .venv
        echo "error: '$python -m venv' failed. On Debian its other half is a package: apt-get install python3-venv" >&2
        exit 1
    fi
elif ! .venv/bin/python -c "$is_known" 2>/dev/null; then
    echo "error: .venv holds $(.venv/bin/python --version 2>&1), expected Python 3.11 to 3.13; remove the folder and run make again." >&2
    exit 1
fi

tools=.venv/tools.txt
.venv/bin/python - >"$tools" <<'PYTHON'
from pathlib import Path

for entry in Path("requirements.lock").read_text().replace("\\\n", "").splitlines():
    if entry.startswith(("setuptools==", "uv==")):
        print(entry)
PYTHON
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1
.venv/bin/python -m pip install --quiet --only-binary :all: --require-hashes -r "$tools"
