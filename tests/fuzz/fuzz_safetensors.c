/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as model.safetensors. An input that begins with '{' is a header, and gets its length and 64 bytes of data. */
#include "tests/fuzz/hf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static unsigned char file[(1 << 20) + 128];

	if (!hf_begin() || !hf_put("config.json", "{}", 2))
		return 0;
	if (len == 0 || data[0] != '{' || len > sizeof(file) - 128) {
		if (hf_put("model.safetensors", data, len))
			hf_try();
		return 0;
	}
	for (int i = 0; i < 8; i++)
		file[i] = (unsigned char)(len >> 8 * i);
	memcpy(file + 8, data, len);
	memset(file + 8 + len, 7, 64);
	if (hf_put("model.safetensors", file, 8 + len + 64))
		hf_try();
	return 0;
}
