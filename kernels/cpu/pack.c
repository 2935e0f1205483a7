/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Weights as the tiles want them: linear.h has the layout. Repacking only moves bytes, so a weight takes what it takes in
 * the file (plus rows up to a multiple of 32), and the float values that come back are exactly the file's.
 *
 * Memory: slabs of at least SLAB_BYTES, so that small weights share huge pages; a slab goes when its last weight goes.
 */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "kernels/cpu/linear.h"
#include "kernels/quant/half.h"

#define HUGE_BYTES ((size_t)2 << 20)
#define SLAB_BYTES ((size_t)16 << 20)
#define WEIGHT_BYTES_MAX ((int64_t)1 << 46)

/* ---- memory ---- */

void *sk_cpu_pages_take(size_t bytes)
{
	unsigned char *p, *at;
	size_t all = bytes + HUGE_BYTES, front;

	if (bytes == 0 || all < bytes)
		return NULL;
	if (bytes < HUGE_BYTES) {
		p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		return p == MAP_FAILED ? NULL : p;
	}
	p = mmap(NULL, all, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		return NULL;
	/* Give back what lies before and behind the aligned piece. */
	front = -(uintptr_t)p & (HUGE_BYTES - 1);
	at = p + front;
	if (front)
		munmap(p, front);
	bytes = (bytes + 4095) & ~(size_t)4095;
	if (all - front > bytes)
		munmap(at + bytes, all - front - bytes);
	madvise(at, bytes, MADV_HUGEPAGE);
	return at;
}

void sk_cpu_pages_put(void *p, size_t bytes)
{
	if (p != NULL)
		munmap(p, bytes);
}

/* owner: as the device's. The list hangs at the device. */
struct sk_cpu_slab {
	struct sk_cpu_slab *next;
	unsigned char *data;
	size_t bytes, used;
	int32_t weights;                        /* lying in it */
};

static struct sk_cpu_slab *slab_open(struct sk_dev *dev, size_t bytes)
{
	struct sk_cpu_slab *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return NULL;
	s->bytes = bytes < SLAB_BYTES ? SLAB_BYTES : (bytes + HUGE_BYTES - 1) / HUGE_BYTES * HUGE_BYTES;
	s->data = sk_cpu_pages_take(s->bytes);
	if (s->data == NULL) {
		free(s);
		return NULL;
	}
	s->next = dev->slabs;
	dev->slabs = s;
	return s;
}

/* Room for a weight: the newest slab, or a new one. */
static unsigned char *slab_take(struct sk_dev *dev, size_t bytes, struct sk_cpu_slab **ret_slab)
{
	struct sk_cpu_slab *s = dev->slabs;
	unsigned char *at;

	bytes = (bytes + 63) & ~(size_t)63;
	if (s == NULL || s->bytes - s->used < bytes)
		s = slab_open(dev, bytes);
	if (s == NULL)
		return NULL;
	at = s->data + s->used;
	s->used += bytes;
	s->weights++;
	*ret_slab = s;
	return at;
}

static void slab_put(struct sk_dev *dev, struct sk_cpu_slab *s)
{
	if (--s->weights > 0)
		return;
	for (struct sk_cpu_slab **at = &dev->slabs; *at != NULL; at = &(*at)->next)
		if (*at == s) {
			*at = s->next;
			break;
		}
	sk_cpu_pages_put(s->data, s->bytes);
	free(s);
}

/* ---- formats ---- */

/* Blocks of 4 bit: a row's block is `head` bytes of F16 numbers, then 16 bytes of nibbles. */
static inline void pack_q4(unsigned char *to, const unsigned char *const rows[SK_CPU_ROWS], int32_t K, size_t head)
{
	size_t src_bytes = head + 16, block_bytes = 512 + 32 * head;

	for (int32_t b = 0; b < K / 32; b++, to += block_bytes)
		for (int r = 0; r < SK_CPU_ROWS; r++) {
			const unsigned char *src;

			if (rows[r] == NULL) {
				for (int j = 0; j < 4; j++)
					memset(to + 128 * j + 4 * r, 0, 4);
				for (size_t h = 0; h < head; h += 2)
					memset(to + 512 + 32 * h + 2 * r, 0, 2);
				continue;
			}
			src = rows[r] + (size_t)b * src_bytes;
			for (int j = 0; j < 4; j++)
				memcpy(to + 128 * j + 4 * r, src + head + 4 * j, 4);
			for (size_t h = 0; h < head; h += 2)
				memcpy(to + 512 + 32 * h + 2 * r, src + h, 2);
		}
}

static void pack_q4_0(unsigned char *to, const unsigned char *const rows[SK_CPU_ROWS], int32_t K)
{
	pack_q4(to, rows, K, 2);
}

static void pack_q4_1(unsigned char *to, const unsigned char *const rows[SK_CPU_ROWS], int32_t K)
{
	pack_q4(to, rows, K, 4);
}

static inline void row_q4(float *out, const unsigned char *p, int lane, int32_t K, size_t block_bytes, float offset, bool mins)
{
	for (int32_t k = 0; k < K; k += 32, p += block_bytes, out += 32) {
		float d = sk_f32_of_f16(sk_u16_get(p + 512 + 2 * lane));
		float m = mins ? sk_f32_of_f16(sk_u16_get(p + 576 + 2 * lane)) : 0.0f;

		for (int i = 0; i < 16; i++) {
			unsigned char q = p[128 * (i / 4) + 4 * lane + i % 4];
			float lo = d * ((float)(q & 15) - offset), hi = d * ((float)(q >> 4) - offset);

			out[i] = mins ? lo + m : lo;
			out[16 + i] = mins ? hi + m : hi;
		}
	}
}

static void row_q4_0(float *out, const unsigned char *panel, int lane, int32_t K)
{
	row_q4(out, panel, lane, K, 576, 8.0f, false);
}

static void row_q4_1(float *out, const unsigned char *panel, int lane, int32_t K)
{
	row_q4(out, panel, lane, K, 640, 0.0f, true);
}

static void pack_q8_0(unsigned char *to, const unsigned char *const rows[SK_CPU_ROWS], int32_t K)
{
	for (int32_t b = 0; b < K / 32; b++, to += 1088)
		for (int r = 0; r < SK_CPU_ROWS; r++) {
			const unsigned char *src = rows[r] ? rows[r] + (size_t)b * 34 : NULL;

			for (int j = 0; j < 8; j++) {
				uint32_t q = 0;

				if (src != NULL)
					memcpy(&q, src + 2 + 4 * j, 4);
				q ^= 0x80808080u;
				memcpy(to + 128 * j + 4 * r, &q, 4);
			}
			if (src != NULL)
				memcpy(to + 1024 + 2 * r, src, 2);
			else
				memset(to + 1024 + 2 * r, 0, 2);
		}
}

static void row_q8_0(float *out, const unsigned char *p, int lane, int32_t K)
{
	for (int32_t k = 0; k < K; k += 32, p += 1088, out += 32) {
		float d = sk_f32_of_f16(sk_u16_get(p + 1024 + 2 * lane));

		for (int i = 0; i < 32; i++)
			out[i] = d * (float)((int)p[128 * (i / 4) + 4 * lane + i % 4] - 128);
	}
}

static void pack_bf16(unsigned char *to, const unsigned char *const rows[SK_CPU_ROWS], int32_t K)
{
	for (int32_t k = 0; k < K; k += 2, to += 128)
		for (int r = 0; r < SK_CPU_ROWS; r++) {
			memset(to + 4 * r, 0, 4);
			if (rows[r] != NULL)
				memcpy(to + 4 * r, rows[r] + 2 * (size_t)k, K - k > 1 ? 4 : 2);
		}
}

static void row_bf16(float *out, const unsigned char *p, int lane, int32_t K)
{
	for (int32_t k = 0; k < K; k++)
		out[k] = sk_f32_of_bf16(sk_u16_get(p + (size_t)(k / 2) * 128 + 4 * lane + 2 * (k % 2)));
}

static inline void pack_plain(unsigned char *to, const unsigned char *const rows[SK_CPU_ROWS], int32_t K, size_t bytes)
{
	for (int32_t k = 0; k < K; k++)
		for (int r = 0; r < SK_CPU_ROWS; r++, to += bytes) {
			if (rows[r] != NULL)
				memcpy(to, rows[r] + bytes * (size_t)k, bytes);
			else
				memset(to, 0, bytes);
		}
}

static void pack_f16(unsigned char *to, const unsigned char *const rows[SK_CPU_ROWS], int32_t K)
{
	pack_plain(to, rows, K, 2);
}

static void row_f16(float *out, const unsigned char *p, int lane, int32_t K)
{
	for (int32_t k = 0; k < K; k++)
		out[k] = sk_f32_of_f16(sk_u16_get(p + (size_t)k * 64 + 2 * lane));
}

static void pack_f32(unsigned char *to, const unsigned char *const rows[SK_CPU_ROWS], int32_t K)
{
	pack_plain(to, rows, K, 4);
}

static void row_f32(float *out, const unsigned char *p, int lane, int32_t K)
{
	for (int32_t k = 0; k < K; k++)
		memcpy(&out[k], p + (size_t)k * 128 + 4 * lane, 4);
}

static const struct sk_cpu_format formats[SK_DTYPES] = {
	/*              k   bytes  whole  pack       row */
	[SK_F32]  = {   1,   128, false, pack_f32,  row_f32  },
	[SK_F16]  = {   1,    64, false, pack_f16,  row_f16  },
	[SK_BF16] = {   2,   128, false, pack_bf16, row_bf16 },
	[SK_Q8_0] = {  32,  1088, true,  pack_q8_0, row_q8_0 },
	[SK_Q4_0] = {  32,   576, true,  pack_q4_0, row_q4_0 },
	[SK_Q4_1] = {  32,   640, true,  pack_q4_1, row_q4_1 },
};

const struct sk_cpu_format *sk_cpu_format_find(enum sk_dtype dtype)
{
	if ((unsigned)dtype >= SK_DTYPES || formats[dtype].pack == NULL)
		return NULL;
	return &formats[dtype];
}

/* ---- weights ---- */

static int64_t panel_bytes(const struct sk_cpu_format *f, int64_t K)
{
	return (K + f->block_len - 1) / f->block_len * (int64_t)f->block_bytes;
}

size_t sk_cpu_weight_bytes(enum sk_dtype dtype, int64_t N, int64_t K)
{
	const struct sk_cpu_format *f = sk_cpu_format_find(dtype);
	int64_t panels;

	if (f == NULL || N <= 0 || K <= 0 || N > INT32_MAX - SK_CPU_ROWS || K > INT32_MAX - SK_CPU_ROWS)
		return 0;
	if (f->whole && K % f->block_len != 0)
		return 0;
	/* A GLU whose halves are no multiple of 16 takes one panel more: the plan has no join, so count it always. */
	panels = (N + SK_CPU_ROWS - 1) / SK_CPU_ROWS + (N % SK_CPU_ROWS != 0);
	if (panel_bytes(f, K) > WEIGHT_BYTES_MAX / panels)
		return 0;
	return (size_t)(panels * panel_bytes(f, K));
}

struct pack_work {
	const struct sk_weight_src *src;
	int src_len;
	int64_t *first;                         /* [src_len]: row of the weight that the source starts with */
	struct sk_cpu_weight *w;
	const struct sk_cpu_format *f;
};

/* Row n < N of the sources put one after the other. There are thousands where a model joins the rows of each head: halve. */
static const unsigned char *source_row(const struct pack_work *p, int64_t n)
{
	int low = 0, end = p->src_len;

	while (end - low > 1) {
		int mid = low + (end - low) / 2;

		if (p->first[mid] <= n)
			low = mid;
		else
			end = mid;
	}
	return (const unsigned char *)p->src[low].data + (size_t)(n - p->first[low]) * p->src[low].row_bytes;
}

static int64_t *first_rows(const struct sk_weight_src *src, int src_len)
{
	int64_t *first = malloc((size_t)src_len * sizeof *first), N = 0;

	for (int i = 0; first && i < src_len; N += src[i++].N)
		first[i] = N;
	return first;
}

static void pack_panels(void *arg, int32_t from, int32_t to, int worker)
{
	const struct pack_work *p = arg;
	const struct sk_weight *w = &p->w->base;
	int64_t half = w->N / 2;

	for (int32_t i = from; i < to; i++) {
		const unsigned char *rows[SK_CPU_ROWS];

		for (int r = 0; r < SK_CPU_ROWS; r++) {
			int64_t n = (int64_t)i * SK_CPU_ROWS + r;

			if (w->join == SK_JOIN_GLU) {
				n = (int64_t)i * 16 + r % 16;
				rows[r] = n < half ? source_row(p, r < 16 ? n : half + n) : NULL;
			} else {
				rows[r] = n < w->N ? source_row(p, n) : NULL;
			}
		}
		p->f->pack(p->w->data + (size_t)i * p->w->panel_bytes, rows, w->K);
	}
}

static sk_status sources_check(const struct sk_weight_src *src, int src_len, enum sk_weight_join join, int64_t *ret_N,
			       struct sk_err *err)
{
	const struct sk_cpu_format *f;
	const struct sk_quant *q;
	int64_t N = 0;

	if (src_len < 1 || (join == SK_JOIN_GLU && (src_len != 2 || src[0].N != src[1].N)))
		return sk_fail(err, SK_EINVAL, "a weight of %d sources: a GLU takes two of equal shape", src_len);
	f = sk_cpu_format_find(src[0].dtype);
	if (f == NULL)
		return sk_fail(err, SK_ENOTSUP, "the cpu backend has no weights of type %d", (int)src[0].dtype);
	q = sk_quant_get(src[0].dtype);
	for (int i = 0; i < src_len; i++) {
		const struct sk_weight_src *s = &src[i];

		if (s->dtype != src[0].dtype || s->K != src[0].K)
			return sk_fail(err, SK_ENOTSUP, "sources of different types or widths cannot become one weight");
		if (s->N < 1 || s->K < 1 || (f->whole && s->K % f->block_len != 0))
			return sk_fail(err, SK_ENOTSUP, "a %s weight of %d x %d: columns must be a multiple of %d",
				       q->name, s->N, s->K, f->whole ? f->block_len : 1);
		if (s->row_bytes < (size_t)s->K / q->block_len * q->block_bytes)
			return sk_fail(err, SK_EINVAL, "a %s row of %d columns does not fit %zu bytes", q->name, s->K,
				       s->row_bytes);
		N += s->N;
	}
	*ret_N = N;
	return SK_OK;
}

sk_status sk_cpu_weight_open(struct sk_dev *dev, const struct sk_weight_src *src, int src_len, enum sk_weight_join join,
			     struct sk_weight **ret_w, struct sk_err *err)
{
	struct pack_work work = { .src = src, .src_len = src_len };
	struct sk_cpu_weight *w;
	int64_t N = 0;
	sk_status st;

	st = sources_check(src, src_len, join, &N, err);
	if (st < 0)
		return st;
	if (sk_cpu_weight_bytes(src[0].dtype, N, src[0].K) == 0)
		return sk_fail(err, SK_ETOOBIG, "a weight of %lld x %d is too large", (long long)N, src[0].K);
	work.first = first_rows(src, src_len);
	w = calloc(1, sizeof(*w));
	if (w == NULL || work.first == NULL) {
		free(w);
		free(work.first);
		return sk_fail(err, SK_ENOMEM, "no memory for a weight");
	}
	work.f = sk_cpu_format_find(src[0].dtype);
	work.w = w;
	w->base = (struct sk_weight){ .dtype = src[0].dtype, .N = (int32_t)N, .K = src[0].K, .join = join };
	w->panels = (int32_t)(join == SK_JOIN_GLU ? (N / 2 + 15) / 16 : (N + SK_CPU_ROWS - 1) / SK_CPU_ROWS);
	w->panel_bytes = (size_t)panel_bytes(work.f, src[0].K);
	w->base.bytes = (size_t)w->panels * w->panel_bytes;
	w->data = slab_take(dev, w->base.bytes, &w->slab);
	if (w->data == NULL) {
		free(w);
		free(work.first);
		return sk_fail(err, SK_ENOMEM, "no memory for a weight of %lld x %d", (long long)N, src[0].K);
	}
	sk_cpu_run(dev, w->panels, w->panels / (8 * dev->threads) + 1, pack_panels, &work);
	free(work.first);
	*ret_w = &w->base;
	return SK_OK;
}

void sk_cpu_weight_close(struct sk_dev *dev, struct sk_weight **weight)
{
	struct sk_cpu_weight *w = (struct sk_cpu_weight *)*weight;

	if (w == NULL)
		return;
	slab_put(dev, w->slab);
	free(w);
	*weight = NULL;
}
