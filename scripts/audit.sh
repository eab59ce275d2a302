#!/usr/bin/env bash
# Looks for known flaws in all packages that the lock files pin; scripts/audit.py explains the exit status.
# pip-audit runs in its own environment, .venv/audit, installed from requirements-audit.lock.
set -euo pipefail
cd "$(dirname "$0")/.."

audit=.venv/audit
if [ ! -e "$audit/.installed" ] || [ requirements-audit.lock -nt "$audit/.installed" ]; then
    "${PYTHON:-python3.11}" -m venv --clear "$audit"
    "$audit/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-audit.lock
    touch "$audit/.installed"
fi
[ "${1:-}" = --install-only ] || exec "$audit/bin/python" scripts/audit.py "$@" requirements*.lock
