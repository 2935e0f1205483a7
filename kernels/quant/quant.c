/* SPDX-License-Identifier: Apache-2.0 */
/* The list of weight formats, made from quants.def. */
#include "kernels/kernels.h"

#define SK_QUANT(dtype, symbol) extern const struct sk_quant symbol;
#include "kernels/quant/quants.def"
#undef SK_QUANT

static const struct sk_quant *const quants[SK_DTYPES] = {
#define SK_QUANT(dtype, symbol) [SK_##dtype] = &symbol,
#include "kernels/quant/quants.def"
#undef SK_QUANT
};

const struct sk_quant *sk_quant_get(enum sk_dtype dtype)
{
	return (unsigned)dtype < SK_DTYPES ? quants[dtype] : NULL;
}
