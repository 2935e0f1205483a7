#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# client.sh NAME: run NAME.py of this folder in a virtual environment with the packages that it names. 77 when that cannot be had.
set -u

here=$(cd "$(dirname "$0")" && pwd)
script=$here/$1.py
skip() { echo "SKIP clients: $1"; exit 77; }

command -v python3 >/dev/null || skip "python3 is not installed"
PATH=$PATH:/usr/sbin:/usr/local/sbin command -v nginx >/dev/null || skip "nginx is not installed"
packages=$(sed -n 's/^# packages: *//p' "$script")
cache=${SAKER_MODELS:-${HOME:-/root}/.cache/saker}/clients
key=$( (echo "$packages" && python3 -VV) | cksum | cut -d ' ' -f 1)
venv=$cache/$1-$key
log=$cache/$1.log

# Made aside and moved: a test that was cut short leaves no half of one. The interpreter finds its packages by its own place.
make_venv() {
	mkdir -p "$cache" || return 1
	part=$(mktemp -d "$cache/part.XXXXXX") || return 1
	# shellcheck disable=SC2086
	python3 -m venv --without-pip "$part" >"$log" 2>&1 &&
		timeout 300 python3 -m pip --python "$part/bin/python3" install -q --disable-pip-version-check --only-binary :all: $packages >>"$log" 2>&1 &&
		{ mv -T "$part" "$venv" 2>/dev/null || [ -x "$venv/bin/python3" ]; }
	rc=$?
	rm -rf "$part"
	return "$rc"
}

python3 -m pip --version >/dev/null 2>&1 || [ -x "$venv/bin/python3" ] || skip "pip is not installed"
[ -x "$venv/bin/python3" ] || make_venv || skip "pip cannot get $packages: $(tail -n 1 "$log" 2>/dev/null)"
exec "$venv/bin/python3" "$script"
