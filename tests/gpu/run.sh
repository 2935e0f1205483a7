#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs on the machine with the GPU, beside what pack.sh has packed. Each stage takes less than 8 minutes.
#
#	run.sh parity            every operation against the reference; a row's bits whatever is around it; engines end to end
#	run.sh families          tiny models of every family: the Hugging Face library's tokens and log-probabilities
#	run.sh sanitize          the same under compute-sanitizer: memcheck, racecheck, synccheck
#	run.sh speed [SHAPE]     what the GPU gives (copy, matrix product), and saker's share of it; SHAPE: llama-3-8b
set -u
here=$(cd "$(dirname "$0")" && pwd)
cd "$here" || exit 2
SAKER_MODULES=$here
CK_FORK=no              # a process may not fork once it has used the GPU
CK_DEFAULT_TIMEOUT=400
export SAKER_MODULES CK_FORK CK_DEFAULT_TIMEOUT
failed=0

# tell NAME COMMAND...: the last lines, and whether it went well
tell() {
	name=$1
	shift
	echo "== $name"
	"$@" >"/tmp/$name.log" 2>&1 || { failed=1; echo "FAILED: $name"; }
	grep -E '%: Checks|:[FE]:|ERROR SUMMARY|RACECHECK SUMMARY|way: |not on this machine|cuda' "/tmp/$name.log" | tail -n 12
}

parity() {
	tell parity ./test_parity
	tell attend ./test_attend
	tell invariance ./test_invariance
	tell load ./test_load
	tell model env SAKER_TEST_SHOW=1 ./test_model
	tell engine ./test_engine
}

families() {
	export SAKER_GOLDEN="$here"
	for way in cuda cpu; do
		tell "families-$way" env SAKER_BACKEND=$way ./test_families
	done
}

sanitize() {
	export SAKER_TEST_FEW=1
	for tool in memcheck racecheck synccheck; do
		tell "$tool" timeout 150 compute-sanitizer --tool "$tool" --error-exitcode 9 ./test_parity
		tell "$tool-attend" timeout 150 compute-sanitizer --tool "$tool" --error-exitcode 9 ./test_attend
	done
}

speed() {
	shape=${1:-llama-3-8b}
	model=${SAKER_TEST_ROOM:-/dev/shm}/$shape.gguf
	flags="--model $model --device cuda --max-total-tokens 4096 --kv-memory 16G"
	[ -f "$model" ] || python3 make_model.py "$shape" "$model" || exit 1
	echo "== $(cat commit), $(date -u +%F), $(nvidia-smi --query-gpu=name,driver_version --format=csv,noheader)"
	python3 limits.py
	# shellcheck disable=SC2086
	for tests in tg128,b1,b8 b32,b64,b128 pp512,pp2048; do
		./saker bench $flags --max-batch-prefill-tokens 2048 --runs 3 --tests $tests 2>&1 | grep tok/s
	done
	# shellcheck disable=SC2086
	for i in 1 2 3; do
		/usr/bin/time -f 'exec to the end of 1 token: %e s' ./saker generate $flags --ignore-eos --max-new-tokens 1 hello 2>&1 |
			grep -a 'exec to'
	done
}

stage=${1:-}
case $stage in
parity | families | sanitize | speed) shift && "$stage" "$@" ;;
*) sed -n '3,9s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac
exit $failed
