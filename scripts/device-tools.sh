#!/usr/bin/env bash
# Installs what memnas compiles C with and emulates microcontrollers with, if missing: a C compiler for this machine, one
# for Arm Cortex-M with its C library, and QEMU.
set -euo pipefail
source "$(dirname "$0")/apt-install.sh"

missing=()
{ command -v cc && echo '#include <stdint.h>' | cc -E -; } >/dev/null 2>&1 || missing+=(gcc libc6-dev)
command -v arm-none-eabi-gcc >/dev/null || missing+=(gcc-arm-none-eabi)
# The compiler names a file of its library with the folder only if it is there.
[[ "$(arm-none-eabi-gcc --print-file-name=libc_nano.a 2>/dev/null)" == */* ]] || missing+=(libnewlib-arm-none-eabi)
command -v qemu-system-arm >/dev/null || missing+=(qemu-system-arm)
apt_install "memnas export --verify and memnas verify need" "" "${missing[@]}"
