#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The units of etc/systemd under a systemd that boots in a container of its own: a Debian 12 with nginx, saker as `make install` leaves
# it, and the README's commands. Over restarts no client is refused for good (while the model loads it is told when to try again); a
# reload, and the end of a killed daemon, are as they should be.
#
#	sh tests/systemd_root.sh DIR BUILD     (root; mmdebstrap and systemd-nspawn; DIR is made anew and removed at the end)
set -eu

tree=$(cd "$(dirname "$0")/.." && pwd)
dir=$1
build=$2
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
nspawn=

inside() { nsenter -t "$leader" -m -u -i -p -n -C -r -w "$@"; }
clean() {
	code=$?
	if [ "$code" -ne 0 ] && [ -n "${leader-}" ]; then inside journalctl --no-pager -n 60 2>/dev/null || cat "$dir.log"; fi
	if [ -n "$nspawn" ]; then
		kill "$nspawn" 2>/dev/null || true
		wait "$nspawn" 2>/dev/null || true
	fi
	rm -rf --one-file-system "$dir"
	rm -f "$dir.stop" "$dir.load1" "$dir.load2" "$dir.log"
}
# until SECONDS COMMAND...: false when it does not come true
until_true() {
	left=$(($1 * 5))
	shift
	while ! "$@" >/dev/null 2>&1; do
		left=$((left - 1))
		[ "$left" -gt 0 ] || { echo "FAIL in time: $*"; return 1; }
		sleep 0.2
	done
}
answers() { curl -s -f -m 10 "http://127.0.0.1:$port/readyz"; }
property() { inside systemctl show -p "$1" --value saker.service; }
is() { [ "$(property "$1")" = "$2" ]; }

base=$(dirname "$dir")/bookworm-systemd.tar
[ -n "$(find "$base" -mtime -7 2>/dev/null)" ] ||
	mmdebstrap --quiet --variant=minbase --include=systemd,systemd-sysv,nginx-light,libfcgi0ldbl,libjson-c5,libpcre2-8-0,libutf8proc2 \
		bookworm "$base"
rm -rf --one-file-system "$dir"
mkdir -p "$dir"
trap clean EXIT
trap 'exit 1' HUP INT TERM
tar -x -f "$base" -C "$dir"

# The README's commands.
make -s -C "$build" install DESTDIR="$dir" >"$dir.log" 2>&1
prefix=$(sed -n 's/^prefix = //p' "$build/Makefile")
examples=$dir$prefix/share/doc/saker/examples/etc
install -D -m 644 "$examples/saker.conf" "$dir/etc/saker/saker.conf"
cp "$examples/systemd/saker.service" "$examples/systemd/saker.socket" "$dir/etc/systemd/system/"
mkdir -p "$dir/srv/models"
"$build/tests/lib/mktiny" "$dir/srv/models/tiny.gguf"
echo 'model = /srv/models/tiny.gguf' >>"$dir/etc/saker/saker.conf"
sed "s/127.0.0.1:8080/127.0.0.1:$port/" "$examples/nginx/saker.conf" >"$dir/etc/nginx/conf.d/saker.conf"
rm -f "$dir/etc/nginx/sites-enabled/default"
systemctl --root="$dir" enable saker.socket saker.service >>"$dir.log" 2>&1

systemd-nspawn -q -D "$dir" -b --register=no --keep-unit --private-users=no >"$dir.log" 2>&1 </dev/null &
nspawn=$!
until_true 20 pgrep -P "$nspawn"
leader=$(pgrep -P "$nspawn" | head -n 1)
until_true 60 answers
is ActiveState active
is StatusText ready
echo "ok    the service has started: $(property User), $(inside stat -c '%U:%G %a' /run/saker/saker.sock)"
[ "$(inside stat -c '%U:%G %a' /run/saker/saker.sock)" = "root:www-data 660" ]

# A 503 of a daemon that loads says when to try again, and curl does.
ask() { curl -s -f -m 30 --retry 5 --retry-max-time 30 -o /dev/null -H 'Content-Type: application/json' -d '{"inputs":"a","parameters":{"max_new_tokens":3}}' "http://127.0.0.1:$port/generate"; }
load() {
	while [ ! -e "$dir.stop" ]; do
		if ask; then echo good; else echo bad; fi
	done
}
served() { [ "$(cat "$dir.load1" "$dir.load2" | wc -l)" -ge "$1" ]; }
rm -f "$dir.stop"
load >"$dir.load1" &
one=$!
load >"$dir.load2" &
two=$!
for n in 1 2 3 4; do
	inside systemctl restart saker.service
	until_true 30 answers
	until_true 30 served $((n * 4))
done
: >"$dir.stop"
wait "$one" "$two"
good=$(cat "$dir.load1" "$dir.load2" | grep -c good || true)
bad=$(cat "$dir.load1" "$dir.load2" | grep -c bad || true)
echo "      four restarts: $good answers, $bad lost"
[ "$bad" -eq 0 ] && [ "$good" -gt 8 ]
echo "ok    restarts lose nothing"

inside systemctl reload saker.service
until_true 10 inside sh -c 'journalctl -u saker.service | grep -q "settings were read again"'
echo "ok    a reload reads the settings again"

before=$(property MainPID)
inside systemctl kill -s KILL saker.service
until_true 30 is NRestarts 1
until_true 30 answers
[ "$(property MainPID)" != "$before" ]
echo "ok    a killed daemon is followed by the next"

inside systemctl stop saker.service saker.socket
[ "$(property Result)" = success ]
echo "ok    it stops"
