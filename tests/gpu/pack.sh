#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Packs what a bare machine with a GPU needs to test and measure saker there: programs with their libraries inside, the module,
# the scripts. No -dev package, no network, no checkout is needed on that machine.
#
#	tests/gpu/pack.sh BUILD-DIR OUT-DIR      BUILD-DIR: configured with CUDA, e.g. CUDA_ARCHS=90
#
# Then, there: sh OUT-DIR/run.sh parity|sanitize|speed [SHAPE]
set -eu
here=$(cd "$(dirname "$0")" && pwd)
build=$(cd "$1" && pwd)
mkdir -p "$2"
out=$(cd "$2" && pwd)
tests="tests/kernels/test_parity tests/kernels/test_attend tests/kernels/test_invariance tests/kernels/test_load tests/unit/test_model tests/unit/test_engine tests/golden/test_families"

# static NAME: the archive of a library, or how to link it when there is none
static() {
	for dir in "/usr/lib/$(gcc -print-multiarch)" /usr/lib64 /usr/lib /usr/local/lib; do
		[ ! -f "$dir/lib$1.a" ] || { echo "$dir/lib$1.a"; return; }
	done
	echo "-l$1"
}

cd "$build"
rm -f saker $tests
make -s -j"$(nproc)" saker saker-cuda.so $tests JSON_LIBS="$(static json-c)" PCRE2_LIBS="$(static pcre2-8)" \
	UTF8PROC_LIBS="$(static utf8proc)" FCGI_LIBS="$(static fcgi)" CHECK_LIBS="$(static check_pic) $(static subunit) -lrt -lm"
cp saker saker-cuda.so $tests "$here/run.sh" "$here/make_model.py" "$here/limits.py" "$out"
rm -rf "$out/families"
cp -r "$here/../golden/families" "$out"
for program in saker $tests; do
	strip "$out/${program##*/}"
done
git -C "$here" describe --always --dirty >"$out/commit" 2>/dev/null || echo unknown >"$out/commit"
rm -f saker $tests      # the next make links them as configured
du -sh "$out"           # it must stay below 40 MiB, which is what travels at once
