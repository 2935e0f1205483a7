#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs web.py behind lighttpd on the engine double; SAKER_FRONT_BINARY and further arguments choose another server.
command -v python3 >/dev/null || { echo "skip: python3 is not installed"; exit 77; }
SAKER_FRONT_WEB=lighttpd
export SAKER_FRONT_WEB
exec python3 "${srcdir:-.}/tests/front/web.py" "${SAKER_FRONT_BINARY:-tests/front/saker-double}" "$@"
