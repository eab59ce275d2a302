#!/usr/bin/env bash
# Installs what the tests need from outside Python, if missing: a browser with fonts, in which tests look at the MLflow
# table and the report as a person would, the Fashion-MNIST images, and PostgreSQL.
set -euo pipefail

missing=()
command -v chromium >/dev/null || missing+=(chromium)
compgen -G '/usr/share/fonts/truetype/*/*.ttf' >/dev/null || missing+=(fonts-dejavu-core)
[ -s /usr/share/datasets/fashion-mnist/train-images-idx3-ubyte.gz ] || missing+=(dataset-fashion-mnist)
compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || command -v initdb >/dev/null || missing+=(postgresql)
[ ${#missing[@]} -eq 0 ] && exit 0

fail() {
    echo "error: the tests need ${missing[*]} (names of Debian packages), and $1." >&2
    echo "They look for 'chromium' on the path, a TrueType font, the gzipped IDX files in /usr/share/datasets/fashion-mnist," >&2
    echo "and PostgreSQL's 'initdb' on the path or in /usr/lib/postgresql." >&2
    exit 1
}

command -v apt-get >/dev/null || fail "this system has no apt-get to install them; install them by hand"
as_root=()
if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || fail "installing them takes root or sudo; run: apt-get install ${missing[*]}"
    as_root=(sudo)
fi

install() {
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${missing[@]}"
}

echo "Installing ${missing[*]} ..."
# A new machine has no package lists yet, and an old one outdated lists; both show as a failed install.
install || { "${as_root[@]}" apt-get update && install; } || fail "apt-get could not install them (see above)"
