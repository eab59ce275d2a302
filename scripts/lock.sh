#!/usr/bin/env bash
# Writes requirements.lock: every package of pyproject.toml and its extras, pinned and hashed; and
# requirements-export.lock, requirements-benchmarks.lock, requirements-team.lock and requirements-ray.lock: the same with
# the optional extra `export`, `benchmarks`, `team` or `ray`. All fit into one environment.
# requirements-audit.lock is the environment of `make audit`.
# Pins that still fit stay; `scripts/lock.sh --upgrade-package NAME` moves one, `--upgrade` all.
set -euo pipefail
cd "$(dirname "$0")/.."

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
"${PYTHON:-python3.11}" -m venv "$scratch/venv"
"$scratch/venv/bin/python" -m pip install --quiet "uv==0.13.9"
resolve() {
    local file=$1
    shift
    "$scratch/venv/bin/uv" pip compile "$@" \
        --python-version 3.11 --python-platform x86_64-unknown-linux-gnu \
        --generate-hashes --no-emit-index-url --custom-compile-command "make lock" \
        --output-file "$file" --quiet
    echo "$file: $(grep -cE '^[a-z0-9].*==' "$file") packages pinned"
}
compile() {
    local file=$1
    shift
    resolve "$file" pyproject.toml --extra dev --extra results "$@"
}
compile requirements.lock "$@"
compile requirements-export.lock --extra export --constraints requirements.lock
compile requirements-benchmarks.lock --extra benchmarks --constraints requirements.lock \
    --constraints requirements-export.lock
compile requirements-team.lock --extra team --extra team-trial --constraints requirements.lock \
    --constraints requirements-export.lock --constraints requirements-benchmarks.lock
compile requirements-ray.lock --extra ray --constraints requirements.lock --constraints requirements-export.lock \
    --constraints requirements-benchmarks.lock --constraints requirements-team.lock
resolve requirements-audit.lock --group audit
