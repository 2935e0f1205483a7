#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs watch.py on the engine double, with a python3 that has prometheus_client (Debian: python3-prometheus-client).
command -v python3 >/dev/null || { echo "skip: python3 is not installed"; exit 77; }
for python in python3 /usr/bin/python3; do
	if "$python" -c 'import prometheus_client' 2>/dev/null; then break; fi
	python=python3
done
exec "$python" "${srcdir:-.}/tests/front/watch.py" "${SAKER_FRONT_BINARY:-tests/front/saker-double}" "$@"
