#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The units of etc/systemd: systemd finds no fault in them, what the service may do is little, and they fit saker's settings.
# Needs systemd-analyze, not a running systemd. What LISTEN_FDS and NOTIFY_SOCKET do is tested in peer.py and fire.py.
set -u
srcdir=${srcdir:-.}
command -v systemd-analyze >/dev/null || { echo "skip: systemd-analyze is not installed"; exit 77; }
program=$(pwd)/${SAKER_FRONT_BINARY:-tests/front/saker-double}
[ -x "$program" ] || { echo "skip: $program is not built"; exit 77; }
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' HUP INT TERM
passed=0 failed=0
exposure_max=10                 # of 100, as --threshold counts: 1.0, "SAFE"

ok() { passed=$((passed + 1)); echo "ok    $1"; }
bad() { failed=$((failed + 1)); echo "FAIL  $1"; [ -z "${2-}" ] || printf '%s\n' "$2" | sed 's/^/	/'; }

# units SED-SCRIPT: both units in $dir, the service with the program just built, changed by the script
units() {
	sed "s|@bindir@/saker|$program|" "$srcdir/etc/systemd/saker.service.in" | sed "$1" >"$dir/saker.service"
	cp "$srcdir/etc/systemd/saker.socket" "$dir/saker.socket"
}
# The exit code says nothing of a warning, and other units of the machine may have theirs. No manual pages are installed here.
faults() { systemd-analyze verify --man=no "$dir/saker.service" "$dir/saker.socket" 2>&1 | grep -i saker; }
exposed() { systemd-analyze security --offline=true --threshold="$1" "$dir/saker.service" 2>&1; }
value() { sed -n "s/^$1=//p" "$dir/$2"; }

units ''
said=$(faults)
if [ -z "$said" ]; then ok "systemd finds no fault"; else bad "systemd finds no fault" "$said"; fi
if said=$(exposed $exposure_max); then
	ok "$(printf '%s\n' "$said" | tail -n 1 | sed 's/[^a-zA-Z0-9. :]//g; s/^ *//')"
else
	bad "the exposure is over $exposure_max" "$(printf '%s\n' "$said" | tail -n 1)"
fi
units 's/^#gpu //; /^PrivateDevices=yes/d; /^MemoryDenyWriteExecute=yes/d'
said=$(faults)
if [ -z "$said" ] && exposed 20 >/dev/null; then ok "and with the lines for a GPU"; else bad "with the lines for a GPU" "$said"; fi

# What these two would find.
units 's/^WatchdogSec=.*/WatchDogSec=60/'
if [ -n "$(faults)" ]; then ok "a misspelt line is found"; else bad "a misspelt line is not found"; fi
units '/^Protect/d; /^SystemCallFilter/d; /^CapabilityBoundingSet/d'
if exposed $exposure_max >/dev/null; then bad "a service that may do much is not found"; else ok "a service that may do much is found"; fi

units ''
drain=$(sed -n 's/^#* *drain_timeout_ms *= *\([0-9]*\).*/\1/p' "$srcdir/etc/saker.conf")
stop=$(value TimeoutStopSec saker.service)
if [ $((stop * 1000)) -gt $((drain + 5000)) ]; then
	ok "systemd waits longer ($stop s) than a drain takes ($drain ms)"
else
	bad "TimeoutStopSec is $stop, drain_timeout_ms $drain"
fi
socket=$(value ListenStream saker.socket)
if [ "$(value SocketMode saker.socket)" = 0660 ] && grep -q "unix:$socket" "$srcdir/etc/nginx/saker.conf" &&
	grep -q "unix:$socket" "$srcdir/etc/apache/saker.conf" && grep -q "\"$socket\"" "$srcdir/etc/lighttpd/saker.conf"; then
	ok "the socket is the one that the web servers' examples name, for its group only"
else
	bad "the socket $socket is not that of the examples, or open to all"
fi

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
