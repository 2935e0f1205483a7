#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What nvcc said of each kernel: none may spill registers to memory, or keep a stack.
set -u
logs=$(find kernels/cuda -name '*.nv.o.log' 2>/dev/null)
[ -n "$logs" ] || { echo "nothing was compiled by nvcc here"; exit 77; }
# shellcheck disable=SC2086
kernels=$(cat $logs | grep -c 'Used [0-9]* registers')
# sincosf's long way round, for large angles, keeps a stack of its own; it is no spill.
# shellcheck disable=SC2086
bad=$(cat $logs | awk '
	/Compiling entry function/ { name = $7 }
	/bytes stack frame/ && !/ 0 bytes spill stores, 0 bytes spill loads/ { print name ": " $0 }
	/bytes stack frame/ && !/ 0 bytes stack frame/ && name !~ /sk_k_rope/ { print name ": " $0 }')
echo "$kernels kernels"
[ "$kernels" -gt 0 ] || { echo "nvcc's reports name no kernel"; exit 1; }
[ -z "$bad" ] || { printf 'spilled:\n%s\n' "$bad"; exit 1; }
