#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# make check: the API cases on the programs just built. 77 (skipped) without python3 or nginx.
command -v python3 >/dev/null || { echo "SKIP api: python3 is not installed"; exit 77; }
exec python3 "${srcdir:-.}/tests/api/run.py" --saker ./saker --mktiny ./tests/lib/mktiny
