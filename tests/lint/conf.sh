#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# etc/saker.conf is what the table of settings says. Run in the build directory (make check does).
set -eu
if packaging/man/gen saker.conf | cmp -s - "${srcdir:-.}/etc/saker.conf"; then
	exit 0
fi
echo "etc/saker.conf differs from fcgi/options.def; write it anew: packaging/man/gen saker.conf >etc/saker.conf"
exit 1
