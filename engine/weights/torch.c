/* SPDX-License-Identifier: Apache-2.0 */
/* PyTorch's .bin files: known, and refused by name. */
#include "engine/weights/format.h"

#include <string.h>

static bool torch_probe(const unsigned char *data, size_t len)
{
	return memcmp(data, "PK\3\4", 4) == 0;
}

static sk_status torch_read(struct sk_weights *w, const struct sk_weights_file *f, struct sk_err *err)
{
	return sk_fail(err, SK_ENOTSUP, "%s: PyTorch's .bin files are not read: convert them to safetensors", f->path);
}

const struct sk_weights_format sk_format_torch = {
	.name = "torch",
	.probe = torch_probe,
	.read = torch_read,
};
