#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What is drawn: the dashboard and the alert rules name metrics that are there; plots are of the results beside them. 77 (skipped) without
# python3.
command -v python3 >/dev/null || { echo "skip: python3 is not installed"; exit 77; }
cd "${srcdir:-.}" || exit 1
bad=0
python3 tests/lint/grafana.py || bad=1
python3 tests/bench/plot.py --self-test || bad=1
python3 tests/bench/plot.py streams tests/gpu/RESULTS.md | cmp - tests/bench/plots/streams-gpu.svg || {
	echo "tests/bench/plot.py streams tests/gpu/RESULTS.md >tests/bench/plots/streams-gpu.svg draws it anew"
	bad=1
}
exit $bad
