#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# make check: a model file that is cut, too large for the limits or lying ends saker with an error that names the file and
# the thing, and with the exit code of fcgi/exits.def. Runs the programs just built.
set -u
saker=${SAKER:-./saker} mktiny=${MKTINY:-./tests/lib/mktiny}
if [ ! -x "$saker" ] || [ ! -x "$mktiny" ]; then echo "SKIP headers: $saker or $mktiny is not built"; exit 77; fi
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' HUP INT TERM
failed=0 passed=0

echo "a prompt for generate" >"$dir/prompt"

# A small good file to spoil.
fresh() { "$mktiny" --layers 1 "$dir/m.gguf"; }
# poke OFFSET ESCAPES: overwrite bytes, given as printf's octal escapes.
poke() { printf "$2" | dd of="$dir/m.gguf" bs=1 seek="$1" conv=notrunc 2>/dev/null; }
# cut BYTES: keep only the first.
cut() { dd if="$dir/m.gguf" of="$dir/cut" bs=1 count="$1" 2>/dev/null && mv "$dir/cut" "$dir/m.gguf"; }
# where TEXT: the offset of its first byte.
where() { grep -abo "$1" "$dir/m.gguf" | head -n 1 | sed 's/:.*//'; }

# expect NAME CODE WORDS [MODEL]
expect() {
	for command in "info" "generate --max-new-tokens 1"; do
		# shellcheck disable=SC2086
		timeout 20 "$saker" $command --model "${4:-$dir/m.gguf}" <"$dir/prompt" >"$dir/out" 2>"$dir/err"
		code=$?
		if [ $code -eq "$2" ] && grep -qF -- "$3" "$dir/err" && grep -qF -- "$dir" "$dir/err"; then
			passed=$((passed + 1))
		else
			failed=$((failed + 1))
			echo "FAIL $1: saker $command: exit $code, expected $2 with \"$3\" and the file's name:"
			sed 's/^/	/' "$dir/err"
		fi
	done
}

expect "no file" 66 "No such file" "$dir/none.gguf"
mkdir "$dir/empty"
expect "a directory without a model" 66 "no .gguf file in this directory" "$dir/empty"

: >"$dir/m.gguf";                            expect "an empty file" 65 "empty"
echo "# not a model at all" >"$dir/m.gguf";  expect "a text file" 65 "not a GGUF file"
fresh; poke 4 '\011';                        expect "version 9" 69 "GGUF version 9 is not supported"
fresh; poke 4 '\000\000\000\003';            expect "the other byte order" 69 "big-endian"
fresh; cut 20;                               expect "cut in the header" 65 "4 bytes are missing"
fresh; cut 100;                              expect "cut in a key" 65 "are left"
fresh; size=$(wc -c <"$dir/m.gguf"); cut $((size - 1000))
expect "cut in the weights" 65 "bytes are missing"
fresh; poke 8 '\377\377';                    expect "more tensors than bytes" 65 "header claims 65535 tensors"
fresh; poke 16 '\377\377';                   expect "more keys than bytes" 65 "header claims 65535 keys"
fresh; poke 24 '\377\377\377\377';           expect "a key of 4 GiB" 65 "claims 4294967295 bytes, the limit is 65535"
fresh; poke 24 '\377\377'; cut 2000;         expect "a key longer than the file" 65 "bytes are missing"
fresh; poke 11 '\001';                       expect "16 million tensors" 65 "the limit is 65536"
fresh; poke "$(where llama.block_count)" 'x'; expect "a missing key" 65 "llama.block_count is missing"
fresh; poke $(($(where llama.block_count) + 21)) '\377\377'; expect "65535 layers" 65 "llama.block_count is 65535"
fresh; poke $(($(where llama.attention.head_count_kv) + 33)) '\003'; expect "heads that do not divide" 65 "no multiple of 3"
fresh; poke $(($(where general.architecture) + 32)) 'LLAMA'; expect "an unknown architecture" 69 'architecture "LLAMA" is not supported'
fresh; poke "$(where blk.0.ffn_up)" 'BLK';   expect "a missing tensor" 65 "tensor blk.0.ffn_up.weight is missing"
fresh; poke $(($(where token_embd.weight) + 37)) '\014'; expect "a type that is not supported" 69 "type Q4_K"
fresh; poke $(($(where token_embd.weight) + 17)) '\011'; expect "nine dimensions" 65 "has 9 dimensions"
fresh; poke $(($(where token_embd.weight) + 28)) '\177'; expect "a dimension beyond the file" 65 "tensor token_embd.weight"
fresh; poke $(($(where token_embd.weight) + 41)) '\001'; expect "an offset that is not aligned" 65 "no multiple of the alignment"
fresh; poke $(($(where token_embd.weight) + 48)) '\177'; expect "an offset beyond the file" 65 "bytes are missing"

echo "headers: $passed passed, $failed failed"
[ "$failed" -eq 0 ]
