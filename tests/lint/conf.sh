#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# etc/saker.conf and the README's table of settings are what their table says, the README's table of dialects what theirs does. Run in the build directory
# (make check does).
set -eu
bad=0
if ! packaging/man/gen saker.conf | cmp -s - "${srcdir:-.}/etc/saker.conf"; then
	echo "etc/saker.conf differs from fcgi/options.def; write it anew: packaging/man/gen saker.conf >etc/saker.conf"
	bad=1
fi
for table in dialects settings; do
	if ! packaging/man/gen $table | { grep -vxFf "${srcdir:-.}/README.md" || true; } | { ! grep .; }; then
		echo "README.md lacks these lines of its table of $table: packaging/man/gen $table prints it whole"
		bad=1
	fi
done
exit $bad
