#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# make check: the commands on the programs just built. 77 (skipped) without python3.
command -v python3 >/dev/null || { echo "SKIP commands: python3 is not installed"; exit 77; }
exec python3 "${srcdir:-.}/tests/api/commands.py" --saker ./saker --mktiny ./tests/lib/mktiny
