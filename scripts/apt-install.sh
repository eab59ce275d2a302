# Sourced: `apt_install PURPOSE HINT PACKAGE...` installs Debian packages, or says in a line or two why it cannot.

apt_install() {
    local purpose=$1 hint=$2 as_root=()
    shift 2
    apt_fail() {
        echo "error: $purpose ${missing[*]} (names of Debian packages), and $1." >&2
        [ -z "$hint" ] || echo "$hint" >&2
        exit 1
    }
    local missing=("$@")
    [ ${#missing[@]} -eq 0 ] && return
    command -v apt-get >/dev/null || apt_fail "this system has no apt-get to install them; install them by hand"
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || apt_fail "installing them takes root or sudo; run: apt-get install ${missing[*]}"
        as_root=(sudo)
    fi
    install() {
        "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${missing[@]}"
    }
    echo "Installing ${missing[*]} ..."
    # A new machine has no package lists yet, and an old one outdated lists; both show as a failed install.
    install || { "${as_root[@]}" apt-get update && install; } || apt_fail "apt-get could not install them (see above)"
}
