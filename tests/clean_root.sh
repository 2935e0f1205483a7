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

# The bare system is kept for a week.
base=$tree/build/bookworm.tar
[ -n "$(find "$base" -mtime -7 2>/dev/null)" ] || mmdebstrap --quiet --variant=minbase bookworm "$base"

rm -rf --one-file-system "$dir"
mkdir -p "$dir"
trap clean EXIT
trap 'exit 1' HUP INT TERM
tar -x -f "$base" -C "$dir"
mount -t proc proc "$dir/proc"
# How this machine reaches the package archives: names, pip's settings, the authorities it trusts.
for file in /etc/resolv.conf /etc/pip.conf; do
	[ ! -e "$file" ] || cp "$file" "$dir$file"
done
if [ -e /etc/ssl/certs/ca-certificates.crt ]; then
	cp /etc/ssl/certs/ca-certificates.crt "$dir/etc/trusted.crt"
	export PIP_CERT=/etc/trusted.crt REQUESTS_CA_BUNDLE=/etc/trusted.crt SSL_CERT_FILE=/etc/trusted.crt
fi
mkdir "$dir/src"
(cd "$tree" && git ls-files -z | tar -c --null -T -) | tar -x -C "$dir/src"
chroot "$dir" env SAKER_PORT="$port" sh /src/packaging/quickstart.sh
echo "== a second time: nothing is done twice"
chroot "$dir" env SAKER_PORT="$port" sh /src/packaging/quickstart.sh
chroot "$dir" sh /src/packaging/quickstart.sh --stop
! curl -s -m 2 -o /dev/null "http://127.0.0.1:$port/livez" || { echo "--stop left something behind"; exit 1; }
