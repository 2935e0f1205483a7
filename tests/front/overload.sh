#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# More requests than there are places: deadlines, refusals and when to come again, shares of clients. See overload.py.
command -v python3 >/dev/null || { echo "skip: python3 is not installed"; exit 77; }
exec python3 "${srcdir:-.}/tests/front/overload.py" "${SAKER_FRONT_BINARY:-tests/front/saker-double}" "$@"
