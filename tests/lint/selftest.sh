#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A lint that cannot fail is worth nothing: each is given trees that it must refuse, and trees that it must not.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
"$here/layers.sh" --self-test
"$here/style.sh" --self-test
