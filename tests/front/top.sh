#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs top.py: ./saker top beside the engine double, under tmux.
command -v python3 >/dev/null || { echo "skip: python3 is not installed"; exit 77; }
exec python3 "${srcdir:-.}/tests/front/top.py" "${SAKER_FRONT_BINARY:-tests/front/saker-double}" "$@"
