#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs fire.py on the engine double; SAKER_FRONT_BINARY and further arguments choose another server.
command -v python3 >/dev/null || { echo "skip: python3 is not installed"; exit 77; }
exec python3 "${srcdir:-.}/tests/front/fire.py" "${SAKER_FRONT_BINARY:-tests/front/saker-double}" "$@"
