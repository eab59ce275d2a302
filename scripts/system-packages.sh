#!/usr/bin/env bash
# Installs what the tests need from outside Python, if missing: a browser with fonts, in which tests look at the MLflow
# table and the report as a person would, the Fashion-MNIST images, PostgreSQL, and the tools of `make device`.
set -euo pipefail
source "$(dirname "$0")/apt-install.sh"

"$(dirname "$0")/device-tools.sh"

missing=()
command -v chromium >/dev/null || missing+=(chromium)
compgen -G '/usr/share/fonts/truetype/*/*.ttf' >/dev/null || missing+=(fonts-dejavu-core)
[ -s /usr/share/datasets/fashion-mnist/train-images-idx3-ubyte.gz ] || missing+=(dataset-fashion-mnist)
compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || command -v initdb >/dev/null || missing+=(postgresql)
apt_install "the tests need" "They look for 'chromium' on the path, a TrueType font, the gzipped IDX files in /usr/share/datasets/fashion-mnist,
and PostgreSQL's 'initdb' on the path or in /usr/lib/postgresql." "${missing[@]}"
