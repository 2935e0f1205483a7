#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# From a fresh Debian 12 to a model that answers through nginx, in one command:
#
#	sh packaging/quickstart.sh [MODEL]     MODEL: a GGUF file, or a directory that holds one or a Hugging Face model
#	sh packaging/quickstart.sh --stop      end what it started
#
# Installs packages with apt, builds, installs to /usr/local, fetches a small model when none is given, starts saker
# behind nginx on 127.0.0.1:8080 in the background. Run it again at any time: what is done is not done twice.
# Environment: SAKER_PORT (8080), SAKER_PREFIX (/usr/local), SAKER_MODELS (where the model is kept), SAKER_STATE (/run/saker-quickstart).
set -eu

here=$(cd "$(dirname "$0")" && pwd)
tree=$(dirname "$here")
port=${SAKER_PORT:-8080}
prefix=${SAKER_PREFIX:-/usr/local}
state=${SAKER_STATE:-/run/saker-quickstart}
build=$tree/build/quickstart
url=http://127.0.0.1:$port
ready_seconds=600

say() { printf '== %s\n' "$*"; }
fail() { printf 'quickstart: %s\n' "$*" >&2; exit 1; }

. "$here/packages.sh"

# The process of the pid file, when it is alive and really is saker.
running_pid() {
	pid=$(cat "$state/pid" 2>/dev/null) || return 1
	case $(readlink "/proc/$pid/exe" 2>/dev/null) in
	*/saker | */'saker (deleted)') printf '%s' "$pid" ;;
	*) return 1 ;;
	esac
}

stop() {
	if pid=$(running_pid); then
		say "stopping saker (process $pid): running answers are finished first"
		kill -TERM "$pid"
		tries=450
		while running_pid >/dev/null; do
			tries=$((tries - 1))
			[ "$tries" -gt 0 ] || { kill -KILL "$pid" 2>/dev/null || true; break; }
			sleep 0.1
		done
	else
		say "nothing of ours is running"
	fi
	rm -f "$state/pid" "$state/what"
}

install_packages() {
	command -v dpkg-query >/dev/null || fail "this is no Debian: install the packages named in packaging/packages.sh by hand"
	# shellcheck disable=SC2086
	missing=$(packages_missing $PACKAGES_BUILD $PACKAGES_RUN)
	if [ -z "$model" ] && ! python3 -m pip --version >/dev/null 2>&1; then
		missing="$missing python3-pip"
	fi
	if [ -z "$missing" ]; then
		say "packages: all there"
		return
	fi
	say "packages: installing $missing"
	# shellcheck disable=SC2086
	packages_install $missing || fail "apt could not install: $missing"
}

build_and_install() {
	say "building in $build (takes a minute the first time)"
	mkdir -p "$build"
	[ -x "$tree/configure" ] || (cd "$tree" && autoreconf -fi >"$build/autoreconf.log" 2>&1) ||
		{ tail -n 20 "$build/autoreconf.log" >&2; fail "autoreconf failed"; }
	if [ ! -f "$build/Makefile" ] || [ "$(cat "$build/prefix" 2>/dev/null)" != "$prefix" ]; then
		(cd "$build" && "$tree/configure" -q --prefix="$prefix") >"$build/configure.log" 2>&1 ||
			{ tail -n 20 "$build/configure.log" >&2; fail "configure failed"; }
		printf '%s\n' "$prefix" >"$build/prefix"
	fi
	make -s -C "$build" -j "$(nproc)" >"$build/make.log" 2>&1 || { tail -n 30 "$build/make.log" >&2; fail "make failed"; }
	make -s -C "$build" install >"$build/install.log" 2>&1 || { tail -n 30 "$build/install.log" >&2; fail "make install failed"; }
	say "installed: $("$prefix/bin/saker" --version) in $prefix/bin"
}

get() { curl -s -m 5 "$@" 2>/dev/null; }

start() {
	what="$model $port $(cksum <"$prefix/bin/saker")"
	if pid=$(running_pid); then
		if [ "$(cat "$state/what" 2>/dev/null)" = "$what" ] && get -f -o /dev/null "$url/readyz"; then
			say "saker is running already (process $pid)"
			return
		fi
		stop
	fi
	# Whoever answers now is somebody else, and would pass for ours below.
	if get -o /dev/null "$url/"; then
		fail "port $port is taken: another program answers on $url; stop it, or choose another port with SAKER_PORT"
	fi
	mkdir -p "$state"
	say "starting saker behind nginx on $url (log: $state/log)"
	nohup setsid "$prefix/bin/saker" up --model "$model" --port "$port" >"$state/log" 2>&1 </dev/null &
	pid=$!
	printf '%s\n' "$pid" >"$state/pid"
	printf '%s\n' "$what" >"$state/what"
	tries=$((ready_seconds * 5))
	last=
	while :; do
		kill -0 "$pid" 2>/dev/null || { tail -n 15 "$state/log" >&2; rm -f "$state/pid"; fail "saker ended, see above"; }
		now=$(get "$url/readyz" || true)
		case $now in
		*'"status":"ready"'*)
			# Ours, or has ours ended because somebody else took the port meanwhile?
			if kill -0 "$pid" 2>/dev/null; then
				break
			fi
			continue
			;;
		"" | "$last") ;;
		*) printf '   %s\n' "$now" ;;
		esac
		last=$now
		tries=$((tries - 1))
		[ "$tries" -gt 0 ] || fail "not ready after $ready_seconds s, see $state/log"
		sleep 0.2
	done
	say "ready"
}

# One streamed answer, token by token as it comes.
show_answer() {
	question='Why is the sky blue? Answer in two sentences.'
	case $model in
	*SmolLM2*) inputs="<|im_start|>user\\n$question<|im_end|>\\n<|im_start|>assistant\\n" ;;
	*) inputs=$question ;;
	esac
	say "a question: $question"
	printf '   '
	: >"$state/answer"
	curl -sSN -m 120 "$url/generate_stream" -H 'Content-Type: application/json' \
		-d "{\"inputs\":\"$inputs\",\"parameters\":{\"max_new_tokens\":80}}" >"$state/answer" 2>"$state/answer.err" &
	curl_pid=$!
	tail -n +1 -f --pid="$curl_pid" "$state/answer" | python3 -u -c '
import json, sys
for line in iter(sys.stdin.readline, ""):
    if not line.startswith("data:"):
        continue
    frame = json.loads(line[5:])
    if "token" in frame and not frame["token"]["special"]:
        sys.stdout.write(frame["token"]["text"])
        sys.stdout.flush()
    if "error" in frame:
        sys.exit("\nthe server said: " + frame["error"])
'
	printf '\n'
	wait "$curl_pid" || fail "the stream was cut: $(cat "$state/answer.err")"
	grep -q '"generated_text"' "$state/answer" || fail "no complete answer came: $(tail -c 500 "$state/answer")"
}

show_next() {
	cat <<END
== try next:
   curl $url/generate -d '{"inputs":"The capital of France is","parameters":{"max_new_tokens":12}}' -H 'Content-Type: application/json'
   curl -N $url/generate_stream -d '{"inputs":"Once upon a time","parameters":{"max_new_tokens":60,"do_sample":true,"temperature":0.8}}' -H 'Content-Type: application/json'
   curl $url/info
   $prefix/bin/saker generate --model $model "Once upon a time"
   sh $here/quickstart.sh --stop
END
}

case ${1-} in
--stop)
	stop
	exit 0
	;;
-h | --help)
	sed -n '3,10s/^# \{0,1\}//p' "$0"
	exit 0
	;;
-*) fail "unknown flag $1 (there is --stop)" ;;
esac
[ "$#" -le 1 ] || fail "one MODEL at most"
model=${1-}
[ "$(id -u)" -eq 0 ] || fail "run it as root (it installs packages); without root: build by README.md, then saker up --model FILE"
if [ -n "$model" ]; then
	[ -e "$model" ] || fail "$model: no such file or directory"
	model=$(realpath "$model")
fi
install_packages
build_and_install
if [ -z "$model" ]; then
	say "fetching the model (kept in ${SAKER_MODELS:-${HOME:-/root}/.cache/saker})"
	model=$(sh "$here/fetch-model.sh")
fi
start
show_answer
show_next
