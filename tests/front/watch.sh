#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs watch.py on the engine double, then on saker with a tiny model, with a python3 that has prometheus_client (Debian:
# python3-prometheus-client). SAKER_FRONT_BINARY and further arguments choose another server, alone.
command -v python3 >/dev/null || { echo "skip: python3 is not installed"; exit 77; }
for python in python3 /usr/bin/python3; do
	if "$python" -c 'import prometheus_client' 2>/dev/null; then break; fi
	python=python3
done
watch=${srcdir:-.}/tests/front/watch.py
[ -z "${SAKER_FRONT_BINARY-}" ] || exec "$python" "$watch" "$SAKER_FRONT_BINARY" "$@"
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
"$python" "$watch" tests/front/saker-double && tests/lib/mktiny --context 512 "$dir/tiny.gguf" &&
	SAKER_TEST_ONLY=${SAKER_TEST_ONLY-agree} "$python" "$watch" ./saker --model "$dir/tiny.gguf"
