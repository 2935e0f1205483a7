#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs seen.py on the engine double: what needs no browser, and one case in Chromium where there is one. SAKER_TEST_LONG=1: all of them.
# SAKER_FRONT_BINARY and further arguments choose another server.
command -v python3 >/dev/null || { echo "skip: python3 is not installed"; exit 77; }
exec python3 "${srcdir:-.}/tests/front/seen.py" "${SAKER_FRONT_BINARY:-tests/front/saker-double}" "$@"
