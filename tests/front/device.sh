#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs device.py on saker with a tiny model on the emulated GPU, where there is one.
command -v python3 >/dev/null || { echo "skip: python3 is not installed"; exit 77; }
[ -e "${SAKER_MODULES:-.}/saker-cuda-emu.so" ] || { echo "skip: saker-cuda-emu.so was not built"; exit 77; }
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
tests/lib/mktiny --context 512 --linear BF16 --embed BF16 "$dir/tiny.gguf" || exit 1
python3 "${srcdir:-.}/tests/front/device.py" ./saker --device cuda-emu --model "$dir/tiny.gguf" "$@"
