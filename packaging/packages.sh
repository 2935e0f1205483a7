# SPDX-License-Identifier: Apache-2.0
# Debian packages by purpose; sourced by quickstart.sh and tests/run.sh, which know why they need which.
# shellcheck shell=sh disable=SC2034
PACKAGES_BUILD="gcc libc6-dev make autoconf automake pkgconf libfcgi-dev libjson-c-dev libpcre2-dev libutf8proc-dev"
PACKAGES_RUN="nginx curl ca-certificates python3"
PACKAGES_TEST="check g++ python3 python3-prometheus-client nginx apache2 lighttpd lighttpd-mod-openssl openssl curl ccache git procps systemd tmux"
# 100 MB for one program, promtool; 300 MB for a browser.
PACKAGES_LONG="prometheus chromium"

# packages_missing NAME...: those that are not installed.
packages_missing() {
	for package in "$@"; do
		dpkg-query -W -f '${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed || printf '%s ' "$package"
	done
}

# packages_install NAME...: with apt; Debian's own services are not started while they are installed.
packages_install() {
	policy=/usr/sbin/policy-rc.d
	made=
	if [ ! -e "$policy" ]; then
		printf '#!/bin/sh\nexit 101\n' >"$policy"
		chmod 755 "$policy"
		made=yes
	fi
	rc=0
	DEBIAN_FRONTEND=noninteractive
	export DEBIAN_FRONTEND
	apt-get install -y -q --no-install-recommends "$@" >"${TMPDIR:-/tmp}/saker-apt.log" 2>&1 || {
		apt-get update -q >"${TMPDIR:-/tmp}/saker-apt.log" 2>&1 &&
			apt-get install -y -q --no-install-recommends "$@" >>"${TMPDIR:-/tmp}/saker-apt.log" 2>&1
	} || rc=$?
	if [ -n "$made" ]; then rm -f "$policy"; fi
	if [ "$rc" -ne 0 ]; then
		tail -n 15 "${TMPDIR:-/tmp}/saker-apt.log" >&2
	fi
	return "$rc"
}
