#!/usr/bin/env bash
# Looks for known flaws in all packages that requirements.lock pins; scripts/audit.py explains the exit status.
# pip-audit runs in its own environment, .venv/audit, with the packages of the group `audit`.
set -euo pipefail
cd "$(dirname "$0")/.."

audit=.venv/audit
if [ ! -e "$audit/.installed" ] || [ requirements.lock -nt "$audit/.installed" ]; then
    .venv/bin/uv venv --quiet --clear --python .venv/bin/python "$audit"
    .venv/bin/uv pip install --quiet --python "$audit/bin/python" --no-build --constraint requirements.lock --group audit
    touch "$audit/.installed"
fi
[ "${1:-}" = --install-only ] || exec "$audit/bin/python" scripts/audit.py "$@" requirements.lock
