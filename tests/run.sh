#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Every test, from a checkout to one last line: `N passed, N failed, N skipped`. Exit 1 when any failed.
#
#	sh tests/run.sh            plain build, ASan + UBSan, TSan: at most 25 minutes on two cores
#	sh tests/run.sh --long     and what takes longer: distcheck, promtool, the pages in Chromium, mutated requests and record streams, 10,000
#	                           requests at ten times the capacity, saker up with failing calls, slow answers and streams of the model behind each web server, hostile
#	                           peers before the emulated GPU, goldens under ASan, real vocabularies and chat templates, every target of nvcc, requests
#	                           generated from the OpenAPI document, clients with many packages, fuzzing by time, a clean root, systemd in
#	                           a container
#
# Each test program counts the cases inside it, where it tells them; what was skipped is named with its reason.
# Environment: SAKER_TEST_STAGES="plain asan tsan" chooses stages, SAKER_MODELS says where the model is kept,
# SAKER_TEST_FUZZ_SECONDS how long a fuzzer runs (120), JOBS (number of cores).
set -u

here=$(cd "$(dirname "$0")" && pwd)
tree=$(dirname "$here")
out=$tree/build
jobs=${JOBS:-$(nproc)}
stages=${SAKER_TEST_STAGES:-plain asan tsan}
fuzz_seconds=${SAKER_TEST_FUZZ_SECONDS:-120}
began=$(date +%s)
passed=0
failed=0
skipped=0
failures=
skips=

. "$tree/packaging/packages.sh"

# A test that hangs is found; one that is slow under a sanitizer, beside others, is none.
export CK_TIMEOUT_MULTIPLIER="${CK_TIMEOUT_MULTIPLIER:-4}"

say() { printf '== [%4d s] %s\n' "$(($(date +%s) - began))" "$*"; }
count_fail() { failed=$((failed + 1)); failures="$failures   $1
"; printf 'FAIL: %s\n' "$1"; }
count_pass() { passed=$((passed + 1)); printf 'PASS: %s\n' "$1"; }
count_skip() { skipped=$((skipped + 1)); skips="$skips   $1
"; printf 'SKIP: %s\n' "$1"; }

finish() {
	[ -z "$skips" ] || printf 'skipped:\n%s' "$skips"
	[ -z "$failures" ] || printf 'failed:\n%s' "$failures"
	printf '%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
	[ "$failed" -eq 0 ]
	exit
}

# Debian's Python, which sees Debian's modules, before another one that is found first: cases would be skipped for want of a module.
system_python() {
	if [ -x /usr/bin/python3 ] && ! [ "$(command -v python3)" -ef /usr/bin/python3 ]; then
		mkdir -p "$out/bin" &&
			ln -sf /usr/bin/python3 "$out/bin/python3"
		PATH=$out/bin:$PATH
		export PATH
	fi
}

# ---- preparation ---------------------------------------------------------------------------------------------------

prepare() {
	# shellcheck disable=SC2086
	missing=$(packages_missing $PACKAGES_BUILD $PACKAGES_TEST)
	mkdir -p "$out"
	system_python
	python3 -m pip --version >/dev/null 2>&1 || missing="$missing python3-pip"
	if [ -n "$missing" ]; then
		if [ "$(id -u)" -eq 0 ]; then
			say "installing $missing"
			# shellcheck disable=SC2086
			packages_install $missing || { count_fail "packages: apt could not install $missing"; finish; }
		else
			count_fail "packages: as root, apt install $missing"
			finish
		fi
	fi
	system_python
	if model=$(sh "$tree/packaging/fetch-model.sh"); then
		say "model: $model"
	else
		count_fail "the model could not be fetched: every test that needs it is skipped below"
	fi
	cc=gcc
	if command -v ccache >/dev/null; then cc="ccache gcc"; fi
	(cd "$tree" && autoreconf -fi) >"$out/autoreconf.log" 2>&1 ||
		{ tail -n 20 "$out/autoreconf.log"; count_fail "autoreconf"; finish; }
}

# ---- one build and its tests -----------------------------------------------------------------------------------------

# build NAME CFLAGS CONFIGURE-FLAG...: out of tree, warnings are errors
build() {
	name=$1
	cflags=$2
	shift 2
	mkdir -p "$out/$name"
	say "$name: building"
	if ! (cd "$out/$name" && "$tree/configure" -q --enable-werror CC="$cc" CFLAGS="$cflags" "$@" &&
		make -s -k -j "$jobs" all) >"$out/$name/build.log" 2>&1; then
		grep -E -A 5 ' error: |undefined reference|Error [0-9]' "$out/$name/build.log" | head -n 40
		count_fail "$name: the build (see $out/$name/build.log)"
		return 1
	fi
}

# check NAME [PATTERN...]: `make check` with those tests whose path fits one of the patterns; all when there is none
check() {
	name=$1
	shift
	cd "$out/$name" || return 1
	chosen=
	for test in $(make -s print-tests); do
		for pattern in "${@:-*}"; do
			# shellcheck disable=SC2254
			case $test in
			$pattern) chosen="$chosen $test" ;;
			esac
		done
	done
	find tests -name '*.trs' -exec rm -f {} +
	say "$name: running $(echo "$chosen" | wc -w) test programs"
	# shellcheck disable=SC2086
	$wrapper timeout -k 10 1200 make -k -j "$jobs" check TESTS="$chosen" >"$out/$name/check.log" 2>&1
	rc=$?
	before=$failed
	for test in $chosen; do
		tally "$name" "${test%.sh}" "$test"
	done
	if [ "$rc" -ne 0 ] && [ "$failed" -eq "$before" ]; then
		tail -n 20 "$out/$name/check.log"
		count_fail "$name: make check ended with $rc (see $out/$name/check.log)"
	fi
	cd "$tree" || exit 1
}

# tally STAGE BASE TEST: count one test program by what automake's driver wrote, and by the cases in its log
tally() {
	base=$3
	[ -f "$base.trs" ] || base=$2
	result=$(sed -n 's/^:test-result: \([A-Z]*\).*/\1/p' "$base.trs" 2>/dev/null | head -n 1)
	cases=$(sed -n 's/^[0-9]*%: Checks: \([0-9]*\), Failures: \([0-9]*\), Errors: \([0-9]*\).*/\1 \2 \3/p' "$base.log" 2>/dev/null |
		awk '{ n += $1; bad += $2 + $3 } END { if (NR) print n - bad, bad }')
	reason=$(tail -n 2 "$base.log" 2>/dev/null | head -n 1)
	while read -r part; do
		[ -z "$part" ] || count_skip "$1: $3: $part"
	done <<END
$(sed -n 's/^SKIP[: ] *//p' "$base.log" 2>/dev/null | grep -v "exit status: 77" | sort -u)
END
	case $result in
	PASS) passed=$((passed + ${cases% *} + 0)) ; [ -n "$cases" ] || passed=$((passed + 1)) ;;
	SKIP) count_skip "$1: $3: $reason" ;;
	"") count_fail "$1: $3 did not run (see $out/$1/check.log)" ;;
	*)
		grep -E ':[FE]:|ERROR|SUMMARY|crashed|Assertion|fail' "$base.log" 2>/dev/null | head -n 12
		[ -z "$cases" ] || { passed=$((passed + ${cases% *})); failed=$((failed + ${cases#* } - 1)); }
		count_fail "$1: $3 (see $out/$1/$base.log)"
		;;
	esac
}

# ThreadSanitizer of older compilers cannot live with as much address randomness as newer kernels give.
tsan_wrapper() {
	printf 'int main(void) { return 0; }\n' >"$out/tsan.c"
	if ! gcc -fsanitize=thread -o "$out/tsan-works" "$out/tsan.c" 2>/dev/null; then
		return 1
	fi
	for wrapper in "" "setarch $(uname -m) -R"; do
		tries=0
		while [ "$tries" -lt 5 ] && $wrapper "$out/tsan-works" 2>/dev/null; do tries=$((tries + 1)); done
		[ "$tries" -lt 5 ] || return 0
	done
	wrapper=
	return 1
}

stage_plain() {
	build plain "-g -O3" --enable-cuda-emu CUDA_ARCHS="75 90" && check plain
}

stage_asan() {
	# Not detect_stack_use_after_return: gcc before 14 puts 64-byte vectors on its fake stack unaligned.
	export ASAN_OPTIONS="strict_string_checks=1" UBSAN_OPTIONS="print_stacktrace=1"
	# The emulated kernels take minutes here, and have their own stage in the long tier. Of the web servers one is enough for us to be
	# looked at: all of them had their turn in the plain build.
	export SAKER_MODULES=/nowhere
	build asan "-g -O1" --enable-debug --with-sanitizer=address,undefined --without-cuda --enable-cuda-emu &&
		check asan 'tests/unit/*' 'tests/kernels/*' 'tests/emu/*' 'tests/fuzz/*' 'tests/fault/test_*' 'tests/front/[!als]*' 'tests/api/*' 'tests/sim/*'
	unset ASAN_OPTIONS UBSAN_OPTIONS SAKER_MODULES
}

# SAKER_TEST_FEW=1 asks the tests of kernels for a third of their shapes: threads meet in each of them alike. No web server here: the loop is one.
stage_tsan() {
	if ! tsan_wrapper; then
		count_skip "tsan: this compiler's ThreadSanitizer does not run here"
		return
	fi
	export SAKER_TEST_FEW=1 TSAN_OPTIONS="halt_on_error=1:second_deadlock_stack=1"
	export SAKER_MODULES=/nowhere
	build tsan "-g -O1" --enable-debug --with-sanitizer=thread --without-cuda --enable-cuda-emu &&
		check tsan 'tests/sim/*' 'tests/front/[!alns]*' 'tests/kernels/*' 'tests/emu/*' tests/unit/test_base 'tests/unit/test_engine*' 'tests/unit/test_pool*'
	unset SAKER_TEST_FEW TSAN_OPTIONS SAKER_MODULES
	wrapper=
}

# ---- the long tier ---------------------------------------------------------------------------------------------------

stage_distcheck() {
	say "distcheck"
	if (cd "$out/plain" && make -j "$jobs" distcheck DISTCHECK_CONFIGURE_FLAGS="CC='$cc'") >"$out/distcheck.log" 2>&1; then
		count_pass "distcheck"
	else
		grep -E 'rror|FAIL' "$out/distcheck.log" | tail -n 15
		count_fail "distcheck (see $out/distcheck.log)"
	fi
}

# One fuzzer: $1 its name, $2 the seed. Two at a time, see stage_fuzz.
fuzz_one() {
	(cd "$out/asan" && srcdir="$tree" SAKER_FUZZ_SECONDS=$fuzz_seconds SAKER_FUZZ_SEED=$2 "./$1") >"$out/$(basename "$1").log" 2>&1
	echo $? >"$out/$(basename "$1").rc"
}

stage_fuzz() {
	seed=$(date +%s)
	fuzzers=$(cd "$out/asan" && make -s print-tests | tr ' ' '\n' | grep '^tests/fuzz/')
	say "fuzzers, $fuzz_seconds s each, seed $seed"
	running=0
	for fuzzer in $fuzzers; do
		fuzz_one "$fuzzer" "$seed" &
		running=$((running + 1))
		[ $((running % jobs)) -ne 0 ] || wait
	done
	wait
	for fuzzer in $fuzzers; do
		name=$(basename "$fuzzer")
		if [ "$(cat "$out/$name.rc")" = 0 ]; then
			tail -n 1 "$out/$name.log"
			count_pass "$fuzzer by time, seed $seed"
		else
			tail -n 30 "$out/$name.log"
			count_fail "$fuzzer by time, seed $seed"
		fi
	done
}

# Ten thousand spoilt requests through nginx, on the sanitized build; and the goldens there.
stage_mutate() {
	seed=$(date +%s)
	say "mutated requests, seed $seed"
	if (cd "$out/asan" && make -s saker tests/lib/mktiny && python3 "$tree/tests/api/mutate.py" --seed "$seed") >"$out/mutate.log" 2>&1; then
		tail -n 1 "$out/mutate.log"
		count_pass "10,000 mutated requests, seed $seed"
	else
		tail -n 20 "$out/mutate.log"
		count_fail "mutated requests (see $out/mutate.log)"
	fi
}

# Prometheus' own judge of /metrics, and of the alert rules; the default run asks it about the first where it is installed.
stage_promtool() {
	# shellcheck disable=SC2086
	missing=$(packages_missing $PACKAGES_LONG)
	# shellcheck disable=SC2086
	if [ -n "$missing" ] && { [ "$(id -u)" -ne 0 ] || ! packages_install $missing; }; then
		count_skip "promtool: $missing is not installed"
		return
	fi
	if (cd "$out/plain" && srcdir="$tree" SAKER_TEST_ONLY=promtool SAKER_FRONT_BINARY=tests/front/saker-double sh "$tree/tests/front/watch.sh") \
		>"$out/promtool.log" 2>&1; then
		count_pass "promtool check metrics"
	else
		tail -n 20 "$out/promtool.log"
		count_fail "promtool check metrics (see $out/promtool.log)"
	fi
	if (promtool check rules "$tree/etc/grafana/alerts.yml" && python3 "$tree/tests/lint/grafana.py" --rules >"$out/dashboard-rules.yml" &&
		promtool check rules "$out/dashboard-rules.yml" && promtool test rules "$tree/tests/lint/alerts_test.yml") >"$out/promtool-rules.log" 2>&1; then
		count_pass "promtool: the dashboard and the alert rules, each of which fires"
	else
		tail -n 20 "$out/promtool-rules.log"
		count_fail "promtool: the alert rules (see $out/promtool-rules.log)"
	fi
}

# The pages for browsers in Chromium behind nginx: every case on the engine double, then what needs no double on the model.
stage_seen() {
	# shellcheck disable=SC2086
	missing=$(packages_missing $PACKAGES_LONG)
	# shellcheck disable=SC2086
	if [ -n "$missing" ] && [ "$(id -u)" -eq 0 ]; then packages_install $missing; fi
	say "the pages in Chromium"
	for binary in "tests/front/saker-double" ${model:+"./saker --model $model"}; do
		# shellcheck disable=SC2086
		(cd "$out/plain" && SAKER_TEST_LONG=1 python3 "$tree/tests/front/seen.py" $binary) >"$out/seen.log" 2>&1
		case $? in
		0) count_pass "the pages in Chromium, ${binary%% *}: $(tail -n 1 "$out/seen.log")" ;;
		77) count_skip "the pages in Chromium, ${binary%% *}: $(tail -n 1 "$out/seen.log")" ;;
		*)
			grep -A 12 FAIL "$out/seen.log" | head -n 60
			count_fail "the pages in Chromium, ${binary%% *} (see $out/seen.log)"
			;;
		esac
	done
}

# A hundred thousand spoilt streams of records against the loop, on the sanitized build, beside an honest client.
stage_records() {
	seed=$(date +%s)
	say "mutated record streams, seed $seed"
	if (cd "$out/asan" && make -s tests/front/mutate_records && srcdir="$tree" tests/front/mutate_records 100000 "$seed") >"$out/records.log" 2>&1; then
		tail -n 1 "$out/records.log"
		count_pass "100,000 mutated record streams, seed $seed"
	else
		tail -n 20 "$out/records.log"
		count_fail "mutated record streams (see $out/records.log)"
	fi
}

# The cases of tests/front that need no double, behind each web server, with the real model: 200 streams at once among them.
stage_front_model() {
	if [ -z "${model:-}" ]; then
		count_skip "streams of the model: there is no model"
		return
	fi
	for web in nginx apache lighttpd; do
		say "streams of the model behind $web"
		(cd "$out/plain" && SAKER_TEST_DEADLINE=600 SAKER_FRONT_BINARY=./saker srcdir="$tree" sh "$tree/tests/front/$web.sh" --model "$model") \
			>"$out/front-$web.log" 2>&1
		case $? in
		0) count_pass "streams of the model behind $web: $(tail -n 1 "$out/front-$web.log")" ;;
		77) count_skip "streams of the model behind $web: $(tail -n 1 "$out/front-$web.log")" ;;
		*)
			grep -A 12 FAIL "$out/front-$web.log" | head -n 40
			count_fail "streams of the model behind $web (see $out/front-$web.log)"
			;;
		esac
	done
}

# Hostile peers before the emulated GPU.
stage_front_emu() {
	say "hostile peers before the emulated GPU"
	for list in peer fire; do
		if (cd "$out/asan" && make -s saker tests/lib/mktiny && tests/lib/mktiny --context 512 --linear BF16 --embed BF16 "$out/emu.gguf" &&
			SAKER_TEST_DEADLINE=600 SAKER_FRONT_BINARY=./saker SAKER_MODULES=$out/asan srcdir="$tree" sh "$tree/tests/front/$list.sh" \
				--device cuda-emu --model "$out/emu.gguf") >"$out/front-emu-$list.log" 2>&1; then
			count_pass "hostile peers before the emulated GPU, $list: $(tail -n 1 "$out/front-emu-$list.log")"
		else
			grep -A 12 FAIL "$out/front-emu-$list.log" | head -n 40
			count_fail "hostile peers before the emulated GPU, $list (see $out/front-emu-$list.log)"
		fi
	done
}

# saker up before the servers that start more slowly than nginx, which has its turn in the default run. One after the other: a server is
# started some hundred times.
stage_up_faults() {
	for web in apache lighttpd; do
		say "saker up before $web, each call failing once"
		(cd "$out/plain" && make -s tests/fault/test_up_faults && tests/fault/test_up_faults "$web") >"$out/up-faults-$web.log" 2>&1
		case $? in
		0) count_pass "saker up before $web, each call failing once" ;;
		77) count_skip "saker up before $web, each call failing once: $(tail -n 1 "$out/up-faults-$web.log")" ;;
		*)
			tail -n 30 "$out/up-faults-$web.log"
			count_fail "saker up before $web, each call failing once (see $out/up-faults-$web.log)"
			;;
		esac
	done
}

# Answers of 65 seconds behind each web server, whose own time-outs are a minute and less; all three at once.
stage_front_slow() {
	say "slow answers"
	for web in nginx apache lighttpd; do
		(cd "$out/plain" && SAKER_TEST_LONG=1 SAKER_TEST_ONLY=longer_than_any srcdir="$tree" sh "$tree/tests/front/$web.sh"
			echo $? >"$out/slow-$web.rc") >"$out/slow-$web.log" 2>&1 &
	done
	wait
	for web in nginx apache lighttpd; do
		case $(cat "$out/slow-$web.rc") in
		0) count_pass "slow answers behind $web" ;;
		77) count_skip "slow answers behind $web: $(tail -n 1 "$out/slow-$web.log")" ;;
		*)
			tail -n 30 "$out/slow-$web.log"
			count_fail "slow answers behind $web (see $out/slow-$web.log)"
			;;
		esac
	done
}

# Generated requests by the OpenAPI document.
stage_fuzz_http() {
	say "requests generated from the OpenAPI document"
	(cd "$out/plain" && srcdir="$tree" sh "$tree/tests/clients/fuzz_http.sh") >"$out/fuzz-http.log" 2>&1
	case $? in
	0) count_pass "requests generated from the OpenAPI document" ;;
	77) count_skip "requests generated from the OpenAPI document: $(tail -n 1 "$out/fuzz-http.log")" ;;
	*)
		tail -n 20 "$out/fuzz-http.log"
		count_fail "requests generated from the OpenAPI document (see $out/fuzz-http.log)"
		;;
	esac
}

# Clients whose packages are many: pip takes a minute for each where the cache has none.
stage_clients() {
	for client in sagemaker_sdk langchain_tgi langchain_chat; do
		say "client $client"
		(cd "$out/plain" && srcdir="$tree" sh "$tree/tests/clients/$client.sh") >"$out/client-$client.log" 2>&1
		case $? in
		0) count_pass "client: $(tail -n 1 "$out/client-$client.log")" ;;
		77) count_skip "client $client: $(tail -n 1 "$out/client-$client.log")" ;;
		*)
			tail -n 30 "$out/client-$client.log"
			count_fail "client $client (see $out/client-$client.log)"
			;;
		esac
	done
}

# Ten thousand requests at ten times what can be answered, through nginx.
stage_overload() {
	say "10,000 requests at ten times the capacity"
	if (cd "$out/plain" && SAKER_OVERLOAD_REQUESTS=10000 SAKER_TEST_ONLY=ten_times srcdir="$tree" sh "$tree/tests/front/overload.sh") \
		>"$out/overload.log" 2>&1; then
		tail -n 4 "$out/overload.log"
		count_pass "10,000 requests at ten times the capacity"
	else
		tail -n 20 "$out/overload.log"
		count_fail "overload (see $out/overload.log)"
	fi
}

# Every kernel of the GPU, emulated: overruns and undefined behaviour, and races between its threads.
stage_emu() {
	export SAKER_TEST_FEW=1 ASAN_OPTIONS="strict_string_checks=1" UBSAN_OPTIONS="print_stacktrace=1"
	check asan tests/kernels/test_parity tests/kernels/test_attend
	export TSAN_OPTIONS="halt_on_error=1:second_deadlock_stack=1"
	if tsan_wrapper; then
		check tsan tests/kernels/test_parity tests/kernels/test_attend
	fi
	unset SAKER_TEST_FEW ASAN_OPTIONS UBSAN_OPTIONS TSAN_OPTIONS
	wrapper=
}

# Every target that is built by default, not the two of the plain build: no spill, no more registers than allowed.
stage_nvcc() {
	if ! command -v nvcc >/dev/null && [ ! -x /usr/local/cuda/bin/nvcc ]; then
		count_skip "all targets of nvcc: there is no nvcc"
		return
	fi
	build nvcc "-g -O2" --with-cuda || return
	if (cd "$out/nvcc" && srcdir="$tree" sh "$tree/tests/kernels/spills.sh") >"$out/nvcc.log" 2>&1; then
		count_pass "all targets of nvcc: $(grep 'kernels,' "$out/nvcc.log")"
	else
		tail -n 20 "$out/nvcc.log"
		count_fail "all targets of nvcc (see $out/nvcc.log)"
	fi
}

# Vocabularies that Python packages carry, beside the library; fetched into the cache, never part of the tree.
stage_vocabularies() {
	say "real vocabularies"
	(cd "$out/plain" && python3 "$tree/tests/golden/vocabularies.py" tests/golden/tokdump) >"$out/vocabularies.log" 2>&1
	case $? in
	0) count_pass "real vocabularies: $(tail -n 1 "$out/vocabularies.log")" ;;
	77) count_skip "real vocabularies: $(tail -n 1 "$out/vocabularies.log")" ;;
	*)
		tail -n 20 "$out/vocabularies.log" | cut -c 1-400
		count_fail "real vocabularies (see $out/vocabularies.log)"
		;;
	esac
}

stage_chat_templates() {
	say "real chat templates"
	(cd "$out/plain" && python3 "$tree/tests/golden/chat_templates.py" tests/golden/test_jinja) >"$out/chat_templates.log" 2>&1
	case $? in
	0) count_pass "real chat templates: $(tail -n 1 "$out/chat_templates.log")" ;;
	77) count_skip "real chat templates: $(tail -n 1 "$out/chat_templates.log")" ;;
	*)
		tail -n 20 "$out/chat_templates.log" | cut -c 1-400
		count_fail "real chat templates (see $out/chat_templates.log)"
		;;
	esac
}

stage_goldens_asan() {
	check asan tests/golden/test_golden tests/golden/test_tokenizer
}

# The first command of the README, in a Debian that has nothing installed.
stage_clean_root() {
	if [ "$(id -u)" -ne 0 ]; then
		count_skip "clean root: needs root"
		return
	fi
	missing=$(packages_missing mmdebstrap)
	# shellcheck disable=SC2086
	if [ -n "$missing" ] && ! packages_install $missing; then
		count_skip "clean root: mmdebstrap is missing"
		return
	fi
	if sh "$here/clean_root.sh" "$out/clean-root" >"$out/clean-root.log" 2>&1; then
		tail -n 30 "$out/clean-root.log"
		count_pass "clean root: quickstart, a streamed answer, --stop"
	else
		tail -n 40 "$out/clean-root.log"
		count_fail "clean root (see $out/clean-root.log)"
	fi
}

# The units of etc/systemd under a systemd that boots.
stage_systemd_root() {
	if [ "$(id -u)" -ne 0 ]; then
		count_skip "systemd in a container: needs root"
		return
	fi
	missing=$(packages_missing mmdebstrap systemd-container)
	# shellcheck disable=SC2086
	if [ -n "$missing" ] && ! packages_install $missing; then
		count_skip "systemd in a container: $missing is missing"
		return
	fi
	if sh "$here/systemd_root.sh" "$out/systemd-root" "$out/plain" >"$out/systemd-root.log" 2>&1; then
		grep '^ok' "$out/systemd-root.log"
		count_pass "systemd in a container: start, restarts under load, reload, a killed daemon"
	else
		tail -n 60 "$out/systemd-root.log"
		count_fail "systemd in a container (see $out/systemd-root.log)"
	fi
}

case ${1-} in
"") ;;
--long) stages="$stages distcheck promtool seen mutate records fuzz_http clients overload up_faults front_slow front_model front_emu goldens_asan vocabularies chat_templates emu nvcc fuzz clean_root systemd_root" ;;
*)
	echo "usage: sh tests/run.sh [--long]" >&2
	exit 2
	;;
esac
wrapper=
prepare
for stage in $stages; do
	"stage_$stage"
done
say "done"
finish
