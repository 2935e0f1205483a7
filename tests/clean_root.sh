#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Debian 12 from nothing, the sources as `git` has them, and one command: sh packaging/quickstart.sh.
#
#	sh tests/clean_root.sh DIR     (root; DIR is made anew and removed at the end)
set -eu

tree=$(cd "$(dirname "$0")/.." && pwd)
dir=$1
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')

clean() {
	chroot "$dir" env SAKER_PORT="$port" sh /src/packaging/quickstart.sh --stop 2>/dev/null || true
	umount "$dir/proc" 2>/dev/null || true
	rm -rf --one-file-system "$dir"
}

rm -rf --one-file-system "$dir"
mkdir -p "$dir"
trap clean EXIT
trap 'exit 1' HUP INT TERM
mmdebstrap --quiet --variant=minbase bookworm "$dir"
mount -t proc proc "$dir/proc"
for file in /etc/resolv.conf /etc/pip.conf; do
	[ ! -e "$file" ] || cp "$file" "$dir$file"
done
mkdir "$dir/src"
(cd "$tree" && git ls-files -z | tar -c --null -T -) | tar -x -C "$dir/src"
chroot "$dir" env SAKER_PORT="$port" sh /src/packaging/quickstart.sh
echo "== a second time: nothing is done twice"
chroot "$dir" env SAKER_PORT="$port" sh /src/packaging/quickstart.sh
chroot "$dir" sh /src/packaging/quickstart.sh --stop
! curl -s -m 2 -o /dev/null "http://127.0.0.1:$port/livez" || { echo "--stop left something behind"; exit 1; }
