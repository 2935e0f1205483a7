#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The dashboard and the alert rules name metrics that are there. 77 (skipped) without python3.
command -v python3 >/dev/null || { echo "skip: python3 is not installed"; exit 77; }
exec python3 "${srcdir:-.}/tests/lint/grafana.py"
