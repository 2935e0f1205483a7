/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as pytorch_model.bin. An input that begins with a pickle's PROTO, and is no file of torch before 1.6, is the
 * pickle of a zip that has storages "0" (48 bytes), "1" (8) and "2" (none).
 */
#include "tests/fuzz/hf.h"
#include "tests/lib/tiny_hf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const unsigned char storage[48] = { 1, 2, 3 };
	struct tiny_zip z = { 0 };

	if (!hf_begin() || !hf_put("config.json", "{}", 2))
		return 0;
	if (len < 3 || data[0] != 0x80 || data[2] == 0x8a) {
		if (hf_put("pytorch_model.bin", data, len))
			hf_try();
		return 0;
	}
	tiny_zip_add(&z, "a/data.pkl", data, len);
	tiny_zip_add(&z, "a/data/0", storage, 48);
	tiny_zip_add(&z, "a/data/1", storage, 8);
	tiny_zip_add(&z, "a/data/2", storage, 0);
	tiny_zip_end(&z);
	if (hf_put("pytorch_model.bin", z.file.data, z.file.len))
		hf_try();
	free(z.file.data);
	return 0;
}
