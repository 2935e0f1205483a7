#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What nvcc said of each kernel, for each target: none may spill registers to memory, keep a stack, or use more registers than the
# comment above it allows ("Registers: at most N"); one that says nothing may use 128.
set -u
kernels=${srcdir:-.}/kernels/cuda
logs=${SAKER_NVCC_LOGS:-$(find kernels/cuda -name '*.nv.o.log' 2>/dev/null)}
[ -n "$logs" ] || { echo "nothing was compiled by nvcc here"; exit 77; }
# shellcheck disable=SC2086
said=$(cat $logs | grep -c 'Used [0-9]* registers')
limits=$(awk '/^\/\*/ { most = "" } match($0, /Registers: at most [0-9]+/) { most = substr($0, RSTART + 19, RLENGTH - 19) }
	/__global__/ && match($0, /sk_k_[a-z_]+/) { print substr($0, RSTART, RLENGTH), most == "" ? 128 : most; most = "" }' "$kernels"/*.cu)
# sincosf's long way round, for large angles, keeps a stack of its own; it is no spill.
# shellcheck disable=SC2086
bad=$(cat $logs | awk -v limits="$limits" '
	BEGIN { n = split(limits, l, /[ \n]+/); for (i = 1; i < n; i += 2) most[l[i]] = l[i + 1] }
	/Compiling entry function/ {
		name = $7 " for " $9
		match($7, /sk_k_[a-z_]+/)
		kernel = substr($7, RSTART, RLENGTH)
		while (kernel != "" && !(kernel in most))        # what follows is its types, mangled
			kernel = substr(kernel, 1, length(kernel) - 1)
	}
	/bytes stack frame/ && !/ 0 bytes spill stores, 0 bytes spill loads/ { print name ": " $0 }
	/bytes stack frame/ && !/ 0 bytes stack frame/ && name !~ /sk_k_rope/ { print name ": " $0 }
	match($0, /Used [0-9]+ registers/) {
		used = substr($0, RSTART + 5, RLENGTH - 15)
		if (kernel == "")
			print name ": no kernel of this name is in the sources"
		else if (used + 0 > most[kernel] + 0)
			print name ": " used " registers, " most[kernel] " are allowed"
	}')
echo "$said kernels, $(printf '%s\n' "$limits" | wc -l) in the sources"
[ "$said" -gt 0 ] || { echo "nvcc's reports name no kernel"; exit 1; }
[ -z "$bad" ] || { printf 'over their limits:\n%s\n' "$bad"; exit 1; }
