#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What a machine can say about style: file lengths, forbidden functions, licence lines, the top level, #if, READMEs.
#
#	tests/lint/style.sh [TREE]       exit 1 and one line for each fault
#	tests/lint/style.sh --self-test
set -u

lines_max=1200
top="ARCHITECTURE.md CHANGELOG.md CONTRIBUTING.md COPYING Makefile.am README.md SECURITY.md configure.ac
	engine etc fcgi kernels packaging tests m4 build-aux"
generated="Makefile.in aclocal.m4 autom4te.cache build config.h.in config.h.in~ configure configure~"
# Where the preprocessor may choose: configure chooses files, not lines.
conditional="tests/lint/conditional.list"

sources() {
	find engine kernels fcgi tests packaging etc -type f \
		\( -name '*.c' -o -name '*.h' -o -name '*.def' -o -name '*.cu' "$@" \) 2>/dev/null | LC_ALL=C sort
}

# Does a pattern of the list fit the file?
listed() {
	while read -r pattern why; do
		# shellcheck disable=SC2254
		case $1 in
		$pattern) return 0 ;;
		esac
	done 2>/dev/null <"$conditional"
	return 1
}

# What is kept at the top level. A tree that was built in place, and is no checkout, cannot tell.
top_level() {
	if [ -e .git ]; then
		git ls-files 2>/dev/null | cut -d / -f 1 | sort -u
	elif ! [ -e config.status ]; then
		ls
	fi
}

faults() {
	sources -o -name '*.sh' -o -name '*.py' | while read -r file; do
		n=$(wc -l <"$file")
		[ "$n" -le "$lines_max" ] || echo "$file: $n lines, the limit is $lines_max"
	done
	sources -o -name '*.sh' -o -name '*.py' -o -name '*.inc' | while read -r file; do
		head -n 3 "$file" | grep -q 'SPDX-License-Identifier: Apache-2.0' || echo "$file: no SPDX line among the first three"
	done
	sources | xargs -r grep -nE '(^|[^A-Za-z0-9_])(strcpy|strcat|sprintf|vsprintf|strtok|gets|alloca)[ 	]*\(' /dev/null |
		sed 's/$/   <- forbidden function/'
	sources -o -name '*.sh' -o -name '*.py' | grep -v '^tests/lint/' |
		xargs -r grep -nwE 'TODO|FIXME|HACK' /dev/null | sed 's/$/   <- finish it/'
	sources | xargs -r grep -nE '[ 	]+$' /dev/null | sed 's/$/   <- white space at the end/'
	sources | xargs -r grep -nE '^[ 	]*#[ 	]*(if|ifdef|ifndef|elif)([ 	]|$)' /dev/null |
		grep -vE '#ifndef [A-Z0-9_]*_H$' |
		while IFS=: read -r file line text; do
			listed "$file" || echo "$file:$line: $text   <- not in $conditional"
		done
	for entry in $(top_level); do
		case " $(echo $top $generated) " in
		*" $entry "*) ;;
		*) case $entry in
			.* | _build* | _inst*) ;;
			*) echo "$entry: does not belong at the top level" ;;
			esac ;;
		esac
	done
	for dir in engine engine/* kernels kernels/* fcgi etc packaging tests; do
		if [ -d "$dir" ] && ! [ -f "$dir/README.md" ]; then
			echo "$dir: no README.md"
		fi
	done
}

check() {
	cd "$1" || exit 2
	found=$(faults)
	[ -z "$found" ] && return 0
	printf '%s\n' "$found"
	return 1
}

# expect RC FILE TEXT: a tree with one file
expect() {
	tree=$(mktemp -d) || exit 2
	mkdir -p "$tree/$(dirname "$2")" "$tree/tests/lint"
	for dir in "$tree"/*; do
		[ -d "$dir" ] && : >"$dir/README.md"
	done
	echo fcgi/allowed.c >"$tree/tests/lint/conditional.list"
	printf "$3" >"$tree/$2"
	(check "$tree") >/dev/null
	rc=$?
	rm -rf "$tree"
	[ "$rc" -eq "$1" ] || { echo "style.sh: $2 with '$3': expected exit $1, got $rc"; exit 1; }
}

if [ "${1-}" = --self-test ]; then
	licence='/* SPDX-License-Identifier: Apache-2.0 */\n'
	expect 0 fcgi/a.c "$licence"'int x;\n'
	expect 1 fcgi/a.c 'int x;\n'
	expect 1 fcgi/a.c "$licence$(awk 'BEGIN { for (i = 0; i < 1200; i++) printf "\\n" }')"
	expect 1 fcgi/a.c "$licence"'\tstrcpy(a, b);\n'
	expect 1 fcgi/a.c "$licence"'\tx = sprintf (a, b);\n'
	expect 0 fcgi/a.c "$licence"'\tsnprintf(a, b);\n'
	expect 1 fcgi/a.c "$licence"'/* TO''DO */\n'
	expect 1 fcgi/a.c "$licence"'int x; \n'
	expect 1 fcgi/a.c "$licence"'#ifdef X\n#endif\n'
	expect 0 fcgi/allowed.c "$licence"'#ifdef X\n#endif\n'
	expect 0 fcgi/a.h "$licence"'#ifndef SK_FCGI_A_H\n#endif\n'
	expect 1 notes.txt 'a\n'
	expect 0 README.md 'a\n'
	expect 1 engine/sub/a.md 'a\n'
	exit 0
fi
check "${1:-${srcdir:-.}}"
