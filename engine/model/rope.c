/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rotary frequencies (Su et al. 2021) and how they are stretched, in float32 where the Hugging Face library has float32:
 *
 *	f[i]     = base^(-2i / width), of an odd number of dims, where one more turns than was named, base^(-2i / (width - 1))
 *	LINEAR   f / factor                                                             (Chen et al. 2023)
 *	DYNAMIC  with base' = base ((factor n / original) - (factor - 1))^(width / (width - 2)), n = max(length, original),
 *	         length = that of the prompt for its tokens, position + 1 for those after it
 *	LLAMA3   wavelengths over original / low: f / factor; below original / high: f; between them a mixture
 *	LONG     f over a factor of its own, one for sequences up to `original` tokens, another for longer ones; cos and sin times
 *	         sqrt(1 + ln(factor) / ln(original)), factor how much longer they may be       (Ding et al. 2024, as Phi-3 has it)
 *	YARN     f / factor and f, mixed by a ramp over i whose ends are where a frequency turns `high` and `low` times in
 *	         `original` tokens; cos and sin times 0.1 ln(factor) + 1                (Peng et al. 2023)
 */
#include "engine/model/inside.h"

#include <math.h>

static const double pi = 3.14159265358979323846;

/* The dims that the configuration names. */
static int32_t named(const struct sk_rope *r)
{
	return r->odd ? r->width - 1 : r->width;
}

static void plain(const struct sk_rope *r, double base, float *f)
{
	for (int32_t i = 0; i < r->width / 2; i++)
		f[i] = 1.0f / powf((float)base, (float)(2 * i) / (float)named(r));
}

static double dynamic_base(const struct sk_rope *r, int32_t length)
{
	double n = length > r->original ? length : r->original, w = named(r), factor = (double)r->factor;

	if (named(r) <= 2)
		return (double)r->base;
	return (double)r->base * pow(factor * n / r->original - (factor - 1.0), w / (w - 2.0));
}

static void llama3(const struct sk_rope *r, float *f)
{
	float low = (float)((double)r->original / (double)r->low), high = (float)((double)r->original / (double)r->high);

	for (int32_t i = 0; i < r->width / 2; i++) {
		float wave = (float)(2.0 * pi) / f[i], smooth;

		if (wave < high)
			continue;
		if (wave > low) {
			f[i] /= r->factor;
			continue;
		}
		smooth = ((float)r->original / wave - r->low) / (r->high - r->low);
		f[i] = (1.0f - smooth) * f[i] / r->factor + smooth * f[i];
	}
}

/* The place among the frequencies of one that turns `turns` times in `original` tokens. */
static double place(const struct sk_rope *r, double turns)
{
	return r->width * log(r->original / (turns * 2.0 * pi)) / (2.0 * log((double)r->base));
}

static double magnitude(double factor, double mscale)
{
	return factor <= 1.0 ? 1.0 : 0.1 * mscale * log(factor) + 1.0;
}

static void yarn(const struct sk_rope *r, float *f)
{
	double low = place(r, (double)r->high), high = place(r, (double)r->low);

	if (r->round) {
		low = floor(low);
		high = ceil(high);
	}
	low = low > 0.0 ? low : 0.0;
	high = high < r->width - 1 ? high : r->width - 1;
	if (low == high)
		high += 0.001;
	for (int32_t i = 0; i < r->width / 2; i++) {
		float ramp = ((float)i - (float)low) / (float)(high - low), whole = f[i];
		float keep = 1.0f - (ramp < 0.0f ? 0.0f : ramp > 1.0f ? 1.0f : ramp);

		f[i] = 1.0f / (r->factor * (1.0f / whole)) * (1.0f - keep) + whole * keep;
	}
}

/* As the library rounds: the power, the product, the quotient. */
static float long_rope(const struct sk_rope *r, int32_t length, float *f)
{
	const float *stretch = r->stretch[length > r->original];

	for (int32_t i = 0; i < r->width / 2; i++)
		f[i] = 1.0f / (stretch[i] * powf(r->base, (float)(2 * i) / (float)r->width));
	if (r->attention > 0.0f)
		return r->attention;
	return r->factor <= 1.0f ? 1.0f : (float)sqrt(1.0 + log((double)r->factor) / log((double)r->original));
}

float sk_rope_frequencies(const struct sk_rope *r, int32_t length, float *ret_f)
{
	plain(r, r->scaling == SK_ROPE_DYNAMIC ? dynamic_base(r, length) : (double)r->base, ret_f);
	switch (r->scaling) {
	case SK_ROPE_PLAIN:
	case SK_ROPE_DYNAMIC:
		break;
	case SK_ROPE_LINEAR:
		for (int32_t i = 0; i < r->width / 2; i++)
			ret_f[i] /= r->factor;
		break;
	case SK_ROPE_LONG:
		return long_rope(r, length, ret_f);
	case SK_ROPE_LLAMA3:
		llama3(r, ret_f);
		break;
	case SK_ROPE_YARN:
		yarn(r, ret_f);
		if (r->attention > 0.0f)
			return r->attention;
		if (r->mscale > 0.0f && r->mscale_all > 0.0f)
			return (float)(magnitude((double)r->factor, (double)r->mscale) /
				       magnitude((double)r->factor, (double)r->mscale_all));
		return (float)magnitude((double)r->factor, 1.0);
	}
	return r->attention > 0.0f ? r->attention : 1.0f;
}
