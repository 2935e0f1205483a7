#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# etc/saker.conf is what the table of settings says, the README's table of dialects what theirs does. Run in the build directory
# (make check does).
set -eu
bad=0
if ! packaging/man/gen saker.conf | cmp -s - "${srcdir:-.}/etc/saker.conf"; then
	echo "etc/saker.conf differs from fcgi/options.def; write it anew: packaging/man/gen saker.conf >etc/saker.conf"
	bad=1
fi
if ! packaging/man/gen dialects | { grep -vxFf "${srcdir:-.}/README.md" || true; } | { ! grep .; }; then
	echo "README.md lacks these lines of its table of dialects: packaging/man/gen dialects prints it whole"
	bad=1
fi
exit $bad
