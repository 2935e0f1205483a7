#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Calls go downstairs only: engine/base <- kernels <- engine <- fcgi. Reads the #include lines of every source.
#
#	tests/lint/layers.sh [TREE]      exit 1 and one line for each include that goes upstairs
#	tests/lint/layers.sh --self-test
set -u

# room (the longest prefix that fits) | what it may include: prefixes, or whole names
rules='engine/base/|engine/base/
kernels/|kernels/ engine/base/
engine/|engine/ kernels/
fcgi/|fcgi/ engine/saker.h engine/base/'

check() {
	cd "$1" || exit 2
	find engine kernels fcgi \( -name '*.c' -o -name '*.h' -o -name '*.def' -o -name '*.cu' \) -type f 2>/dev/null |
		LC_ALL=C sort | while read -r file; do
		sed -n 's/^[ 	]*#[ 	]*include[ 	]*"\([^"]*\)".*/\1/p' "$file" | sed "s|^|$file |"
	done | awk -v rules="$rules" '
		BEGIN {
			n = split(rules, lines, "\n")
			for (i = 1; i <= n; i++) { split(lines[i], half, "|"); room[i] = half[1]; may[i] = half[2] }
		}
		{
			file = $1; name = $2; best = 0
			if (name == "config.h")
				next
			for (i = 1; i <= n; i++)
				if (index(file, room[i]) == 1 && (!best || length(room[i]) > length(room[best])))
					best = i
			k = split(may[best], allowed, " ")
			for (i = 1; i <= k; i++)
				if (index(name, allowed[i]) == 1)
					next
			printf "%s includes \"%s\"; %s may include %s\n", file, name, room[best], may[best]
			bad = 1
		}
		END { exit bad }'
}

# expect RC FILE INCLUDE: a tree with one file
expect() {
	tree=$(mktemp -d) || exit 2
	mkdir -p "$tree/$(dirname "$2")"
	printf '#include "%s"\n' "$3" >"$tree/$2"
	(check "$tree") >/dev/null
	rc=$?
	rm -rf "$tree"
	[ "$rc" -eq "$1" ] || { echo "layers.sh: $2 including $3: expected exit $1, got $rc"; exit 1; }
}

if [ "${1-}" = --self-test ]; then
	expect 0 engine/base/a.c engine/base/a.h
	expect 1 engine/base/a.c engine/saker.h
	expect 1 engine/base/a.c kernels/kernels.h
	expect 0 kernels/cpu/a.c engine/base/a.h
	expect 1 kernels/cpu/a.c engine/model/model.h
	expect 1 kernels/cpu/a.c fcgi/a.h
	expect 0 engine/step.c kernels/kernels.h
	expect 1 engine/step.c fcgi/options.h
	expect 0 fcgi/a.c engine/saker.h
	expect 1 fcgi/a.c engine/model/model.h
	expect 1 fcgi/a.c kernels/kernels.h
	expect 1 fcgi/a.c a.h
	exit 0
fi
check "${1:-${srcdir:-.}}"
