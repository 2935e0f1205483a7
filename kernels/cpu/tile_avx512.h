/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One tile function: 32 rows by N tokens. Included by linear_avx512.c once for each format and height, with
 *
 *	FN              the function's name
 *	N               tokens, 1 to 12
 *	KIND            TILE_Q4_0, TILE_Q4_1, TILE_Q8_0 or TILE_BF16
 *
 * Every accumulator is a variable of its own (EACH writes them out): gcc 12 keeps those in registers without a single
 * move, and adds one move or spill for each VPDPBUSD when they are elements of an array. At 32 x 6 an integer tile has
 * 12 integer and 12 float accumulators, 4 registers of weights, the mask and one broadcast: 30 of 32.
 */
#define CAT_(a, b) a##b
#define CAT(a, b) CAT_(a, b)
#define EACH CAT(EACH_, N)

static void FN(const struct sk_cpu_tile *a)
{
	const unsigned char *w = a->panel, *x = a->x;
	const size_t ahead = a->ahead;
	float *out = a->out;
	int32_t b = 0;

	for (int32_t s = 0; s < a->slices; s++, out += N * SK_CPU_ROWS) {
		const int32_t end = a->slice_end[s];
#define DO(t) __m512 fa##t = _mm512_setzero_ps(), fb##t = _mm512_setzero_ps();
		EACH(DO)
#undef DO
#if KIND == TILE_BF16
		for (; b < end; b++, w += 128, x += 4 * N) {
			const __m512bh wa = load_bh(w), wb = load_bh(w + 64);

			if (ahead) {
				_mm_prefetch((const char *)w + ahead, _MM_HINT_T0);
				_mm_prefetch((const char *)w + ahead + 64, _MM_HINT_T0);
			}
#define DO(t) \
			const __m512bh x##t = (__m512bh)dword_all(x + 4 * t); \
			fa##t = _mm512_dpbf16_ps(fa##t, wa, x##t); \
			fb##t = _mm512_dpbf16_ps(fb##t, wb, x##t);
			EACH(DO)
#undef DO
		}
#else
		for (; b < end; b++, w += BLOCK_BYTES(KIND), x += SK_CPU_X8_BYTES * N) {
			if (ahead)
				prefetch(w + ahead, BLOCK_BYTES(KIND));
#if KIND == TILE_Q4_1
#define DO(t) __m512i ia##t = _mm512_setzero_si512(), ib##t = _mm512_setzero_si512();
#else
#define DO(t) __m512i ia##t = dword_all(x + 36 * N + 4 * t), ib##t = ia##t;
#endif
			EACH(DO)
#undef DO
#if KIND == TILE_Q8_0
#pragma GCC unroll 8
			for (int j = 0; j < 8; j++) {
				const __m512i wa = _mm512_load_si512(w + 128 * j), wb = _mm512_load_si512(w + 128 * j + 64);
#define DO(t) { \
				const __m512i v = dword_all(x + 4 * (j * N + t)); \
				ia##t = _mm512_dpbusd_epi32(ia##t, wa, v); \
				ib##t = _mm512_dpbusd_epi32(ib##t, wb, v); }
				EACH(DO)
#undef DO
			}
#else
#pragma GCC unroll 4
			for (int j = 0; j < 4; j++) {
				const __m512i qa = _mm512_load_si512(w + 128 * j), qb = _mm512_load_si512(w + 128 * j + 64);
				const __m512i nib = _mm512_set1_epi8(15);
				const __m512i la = _mm512_and_si512(qa, nib), lb = _mm512_and_si512(qb, nib);
				const __m512i ha = _mm512_and_si512(_mm512_srli_epi16(qa, 4), nib);
				const __m512i hb = _mm512_and_si512(_mm512_srli_epi16(qb, 4), nib);
#define DO(t) { \
				const __m512i v = dword_all(x + 4 * (j * N + t)); \
				ia##t = _mm512_dpbusd_epi32(ia##t, la, v); \
				ib##t = _mm512_dpbusd_epi32(ib##t, lb, v); }
				EACH(DO)
#undef DO
#define DO(t) { \
				const __m512i v = dword_all(x + 4 * ((4 + j) * N + t)); \
				ia##t = _mm512_dpbusd_epi32(ia##t, ha, v); \
				ib##t = _mm512_dpbusd_epi32(ib##t, hb, v); }
				EACH(DO)
#undef DO
			}
#endif
			{
				const unsigned char *scales = w + (KIND == TILE_Q8_0 ? 1024 : 512);
				const __m512 da = halves(scales), db = halves(scales + 32);
#define DO(t) { \
				const __m512 v = float_all(x + 32 * N + 4 * t); \
				fa##t = _mm512_fmadd_ps(_mm512_cvtepi32_ps(ia##t), _mm512_mul_ps(da, v), fa##t); \
				fb##t = _mm512_fmadd_ps(_mm512_cvtepi32_ps(ib##t), _mm512_mul_ps(db, v), fb##t); }
				EACH(DO)
#undef DO
			}
#if KIND == TILE_Q4_1
			{
				const __m512 ma = halves(w + 576), mb = halves(w + 608);
#define DO(t) { \
				const __m512 v = float_all(x + 40 * N + 4 * t); \
				fa##t = _mm512_fmadd_ps(ma, v, fa##t); \
				fb##t = _mm512_fmadd_ps(mb, v, fb##t); }
				EACH(DO)
#undef DO
			}
#endif
		}
#endif
#define DO(t) _mm512_store_ps(out + 32 * t, fa##t); _mm512_store_ps(out + 32 * t + 16, fb##t);
		EACH(DO)
#undef DO
	}
}
#undef EACH
#undef CAT
#undef CAT_
#undef FN
#undef N
