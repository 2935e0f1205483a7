/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One row of logits to one token.
 *
 * A row begins as "all V scores"; the first rule that cuts turns it into a list of candidates in index order, with weights
 * e[k] = exp((score - max) / temperature). Probabilities are e / mass. Scores and weights are float32, every sum
 * of them is double, in an order that depends on the row alone.
 *
 * Nothing sorts V numbers. Cuts are found by selection: top-k takes 1,024 maxima of strided groups, whose k-th largest is a
 * threshold that at least k scores reach; top-p first leaves out all weights of at most (1 - p) * mass / V, which together
 * cannot exceed 1 - p, then finds the cut's bucket in a histogram of float bits, then the cut inside it.
 */
#include "engine/sample/sample.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "engine/base/rand.h"

#define STRIDED 1024                    /* groups of the top-k threshold */
#define BLOCK 256                       /* scores summed in float before a sum goes on in double */
#define BUCKETS 1024

struct pair { float key, weight; };

struct row {
	const struct sk_sample_in *in;
	const float *x;                 /* [V] scores: the logits, or `copy` once a penalty has changed some */
	int32_t V;
	float max, temperature;
	bool all, weighed;              /* all: candidates are 0..V-1, idx is not used. weighed: e and mass are made */
	int32_t len;                    /* candidates */
	double mass;                    /* sum of e */
	/* scratch */
	float *copy, *e;
	int32_t *idx, *count;
	struct pair *pairs;
	double *block_mass;             /* all: sum of e of each BLOCK */
};

/* ---- scratch ---- */

static size_t rounded(int32_t V)
{
	return ((size_t)V + BLOCK - 1) / BLOCK * BLOCK;
}

size_t sk_sample_scratch_bytes(int32_t V)
{
	size_t n = rounded(V);

	return 64 + n * (2 * sizeof(float) + sizeof(int32_t) + sizeof(struct pair)) + n / BLOCK * sizeof(double);
}

static void row_init(struct row *r, const struct sk_sample_in *in, void *scratch)
{
	size_t n = rounded(in->V);
	char *at = (char *)(((uintptr_t)scratch + 63) & ~(uintptr_t)63);

	*r = (struct row){ .in = in, .x = in->logits, .V = in->V, .max = in->max, .temperature = 1.0f, .all = true,
			   .len = in->V };
	r->block_mass = (double *)at;
	at += n / BLOCK * sizeof(double);
	r->pairs = (struct pair *)at;
	at += n * sizeof(struct pair);
	r->copy = (float *)at;
	at += n * sizeof(float);
	r->e = (float *)at;
	at += n * sizeof(float);
	r->idx = (int32_t *)at;
	r->count = r->idx;              /* penalties come before the first cut */
}

/* ---- arithmetic on whole rows; plain loops that the compiler turns into vectors ---- */

/*
 * Four lanes, in gcc's and clang's own words for vectors. Written out, since gcc makes branches of the comparisons in the
 * scalar loop (they may trap): 262 us for 49,152 scores instead of 30.
 */
typedef float lanes __attribute__((vector_size(16)));
typedef int32_t ilanes __attribute__((vector_size(16)));

/* e^x for x <= 0, relative error below 2e-7; 0 below -87. n = round(x / ln 2), a Taylor polynomial for the rest, then 2^n. */
static inline lanes exp_neg(lanes x)
{
	const float shift = 12582912.0f;        /* 1.5 * 2^23: adding it rounds to an integer in the low bits */
	ilanes live = x > -87.0f;
	lanes c = (lanes)((ilanes)x & live);    /* 0 where the answer is 0 */
	lanes t = c * 1.44269504f + shift;
	lanes n = t - shift;
	lanes f = c - n * 0.693359375f + n * 2.12194440e-4f;    /* ln 2 in two parts, the first exact in 9 bits */
	lanes y = f * (1.0f / 5040.0f) + 1.0f / 720.0f;

	y = y * f + 1.0f / 120.0f;
	y = y * f + 1.0f / 24.0f;
	y = y * f + 1.0f / 6.0f;
	y = y * f + 0.5f;
	y = y * f + 1.0f;
	y = y * f + 1.0f;
	return (lanes)(((ilanes)y + ((ilanes)t << 23)) & live);
}

/* The weight of one score: the same bits as in a row of them. */
static float weigh(const struct row *r, float x)
{
	lanes v = { (x - r->max) / r->temperature };

	return exp_neg(v)[0];
}

static float row_max(const float *x, int32_t V)
{
	float lane[16], max = -FLT_MAX;
	int32_t i = 0;

	for (int j = 0; j < 16; j++)
		lane[j] = -FLT_MAX;
	for (; i + 16 <= V; i += 16)
		for (int j = 0; j < 16; j++)
			lane[j] = x[i + j] > lane[j] ? x[i + j] : lane[j];
	for (int j = 0; j < 16; j++)
		max = lane[j] > max ? lane[j] : max;
	for (; i < V; i++)
		max = x[i] > max ? x[i] : max;
	return max;
}

/* Weights of all V scores, their sum, and the sum of each block. */
static void weigh_all(struct row *r)
{
	double mass = 0.0;

	for (int32_t from = 0, b = 0; from < r->V; from += BLOCK, b++) {
		const float *x = r->x + from;
		float *e = r->e + from;
		int32_t n = r->V - from < BLOCK ? r->V - from : BLOCK;
		float lane[16] = { 0 }, max = r->max, temperature = r->temperature;
		double sum = 0.0;

		for (int32_t i = 0; i + 4 <= n; i += 4) {
			lanes v;

			memcpy(&v, x + i, sizeof(v));
			v = exp_neg((v - max) / temperature);
			memcpy(e + i, &v, sizeof(v));
		}
		for (int32_t i = n & ~3; i < BLOCK; i++)
			e[i] = i < n ? weigh(r, x[i]) : 0.0f;
		for (int32_t i = 0; i < BLOCK; i += 16)
			for (int j = 0; j < 16; j++)
				lane[j] += e[i + j];
		for (int j = 0; j < 16; j++)
			sum += lane[j];
		r->block_mass[b] = sum;
		mass += sum;
	}
	r->mass = mass;
	r->weighed = true;
}

/* Weights of the list of candidates, and their sum. */
static void weigh_list(struct row *r)
{
	int32_t i = 0;

	for (; i + 4 <= r->len; i += 4) {
		const int32_t *at = r->idx + i;
		lanes v = { r->x[at[0]], r->x[at[1]], r->x[at[2]], r->x[at[3]] };

		v = exp_neg((v - r->max) / r->temperature);
		memcpy(r->e + i, &v, sizeof(v));
	}
	for (; i < r->len; i++)
		r->e[i] = weigh(r, r->x[r->idx[i]]);
	r->mass = 0.0;
	for (i = 0; i < r->len; i++)
		r->mass += r->e[i];
	r->weighed = true;
}

/* Append to idx the places where v[i] is at least t (or above it), in order. */
static int32_t collect(const float *v, int32_t V, float t, bool above, int32_t *idx)
{
	int32_t n = 0, i = 0;
	float least = above ? nextafterf(t, INFINITY) : t;

	for (; i + 32 <= V; i += 32) {
		int32_t hits = 0;

		for (int j = 0; j < 32; j++)
			hits += v[i + j] >= least;
		/* Without branches: where many are taken, a guess at each is wrong half the time. n never passes i. */
		if (hits)
			for (int j = 0; j < 32; j++) {
				idx[n] = i + j;
				n += v[i + j] >= least;
			}
	}
	for (; i < V; i++) {
		idx[n] = i;
		n += v[i] >= least;
	}
	return n;
}

/* ---- selection ---- */

static float median3(float a, float b, float c)
{
	float low = a < b ? a : b, high = a < b ? b : a;

	return c < low ? low : c > high ? high : c;
}

/* The k-th largest (k from 1 to n) of v, which is left in another order. Hoare's quickselect, three-way. */
static float kth_largest(float *v, int32_t n, int32_t k)
{
	int32_t lo = 0, hi = n;         /* the answer is in [lo, hi); everything before lo is larger */

	while (hi - lo > 1) {
		float pivot = median3(v[lo], v[lo + (hi - lo) / 2], v[hi - 1]), swap;
		int32_t more = lo, at = lo, less = hi;

		while (at < less) {
			if (v[at] > pivot) {
				swap = v[more], v[more++] = v[at], v[at++] = swap;
			} else if (v[at] < pivot) {
				swap = v[--less], v[less] = v[at], v[at] = swap;
			} else {
				at++;
			}
		}
		if (k <= more)
			hi = more;
		else if (k <= less)
			return pivot;
		else
			lo = less;
	}
	return v[lo];
}

/*
 * By descending key, weights are added up; the first keys whose sum of all larger ones is below `target` are kept. Returns the
 * smallest key kept; *ret_before: the weights of all larger keys. `before`: weights of keys larger than any here.
 */
static float cut_find(struct pair *a, int32_t n, double before, double target, double *ret_before)
{
	int32_t lo = 0, hi = n;

	for (;;) {
		float pivot = median3(a[lo].key, a[lo + (hi - lo) / 2].key, a[hi - 1].key);
		int32_t more = lo, at = lo, less = hi;
		double mass_more = 0.0, mass_equal = 0.0;

		while (at < less) {
			struct pair p = a[at];

			if (p.key > pivot) {
				mass_more += p.weight;
				a[at++] = a[more];
				a[more++] = p;
			} else if (p.key < pivot) {
				a[at] = a[--less];
				a[less] = p;
			} else {
				mass_equal += p.weight;
				at++;
			}
		}
		if (more > lo && before + mass_more >= target) {
			hi = more;
		} else if (before + mass_more + mass_equal >= target || less == hi) {
			*ret_before = before + mass_more;
			return pivot;
		} else {
			before += mass_more + mass_equal;
			lo = less;
		}
	}
}

static float finite_least(float least)
{
	return least > -FLT_MAX ? least : -FLT_MAX;
}

/* The candidates whose score is not below the k-th largest, into idx_out. Scores of -infinity are never among them. */
static int32_t largest(struct row *r, int32_t k, int32_t *idx_out)
{
	float *v = (float *)r->pairs;
	float lane[STRIDED], least;
	int32_t n = 0;

	if (!r->all) {
		for (int32_t i = 0; i < r->len; i++)
			v[i] = r->x[r->idx[i]];
		least = finite_least(r->len > k ? kth_largest(v, r->len, k) : -FLT_MAX);
		for (int32_t i = 0; i < r->len; i++)
			if (r->x[r->idx[i]] >= least)
				idx_out[n++] = r->idx[i];
		return n;
	}
	if (k >= r->V)
		return collect(r->x, r->V, -FLT_MAX, false, idx_out);
	if (k > STRIDED / 4 || r->V < 4 * STRIDED) {
		memcpy(v, r->x, (size_t)r->V * sizeof(*v));
		return collect(r->x, r->V, finite_least(kth_largest(v, r->V, k)), false, idx_out);
	}
	memcpy(lane, r->x, sizeof(lane));
	for (int32_t i = STRIDED; i < r->V; i += STRIDED) {
		int32_t len = r->V - i < STRIDED ? r->V - i : STRIDED;

		for (int32_t j = 0; j < len; j++)
			lane[j] = r->x[i + j] > lane[j] ? r->x[i + j] : lane[j];
	}
	n = collect(r->x, r->V, finite_least(kth_largest(lane, STRIDED, k)), false, idx_out);
	for (int32_t i = 0; i < n; i++)
		v[i] = r->x[idx_out[i]];
	least = n > k ? kth_largest(v, n, k) : -FLT_MAX;
	for (int32_t i = k = 0; i < n; i++)
		if (r->x[idx_out[i]] >= least)
			idx_out[k++] = idx_out[i];
	return k;
}

/* ---- the rules of warp.def ---- */

/* A penalty may not make an infinity of a number (infinity less infinity is none); one that was there stays. */
static float clamped(float was, float score)
{
	if (!isfinite(was))
		return was;
	return score > FLT_MAX ? FLT_MAX : score < -FLT_MAX ? -FLT_MAX : score;
}

/* Before the first change: scores of our own, and counters at 0 for every id that may be counted. */
static float *row_own(struct row *r)
{
	if (r->x != r->copy) {
		memcpy(r->copy, r->in->logits, (size_t)r->V * sizeof(*r->copy));
		r->x = r->copy;
	}
	for (int32_t i = 0; i < r->in->ids_len; i++)
		if ((uint32_t)r->in->ids[i] < (uint32_t)r->V)
			r->count[r->in->ids[i]] = 0;
	return r->copy;
}

static void warp_watermark(struct row *r)
{
	const struct sk_watermark *mark = r->in->p->mark;
	int32_t *list = (int32_t *)r->pairs, n = sk_watermark_green(mark, r->in->ids, r->in->ids_len, r->V, list);
	float *x = row_own(r);

	for (int32_t i = 0; i < n; i++)
		x[list[i]] = clamped(x[list[i]], x[list[i]] + mark->delta);
	r->max = row_max(x, r->V);
}

static void warp_logit_bias(struct row *r)
{
	float *x = row_own(r);

	for (size_t i = 0; i < r->in->p->bias_len; i++) {
		const struct sk_logit_bias *b = &r->in->p->bias[i];

		if ((uint32_t)b->id < (uint32_t)r->V)
			x[b->id] = clamped(x[b->id], x[b->id] + b->bias);
	}
	r->max = row_max(x, r->V);
}

static void warp_repetition_penalty(struct row *r)
{
	float *x = row_own(r), penalty = r->in->p->repetition_penalty;

	for (int32_t i = 0; i < r->in->ids_len; i++) {
		int32_t id = r->in->ids[i];

		if ((uint32_t)id < (uint32_t)r->V && r->count[id]++ == 0)
			x[id] = clamped(x[id], x[id] < 0.0f ? x[id] * penalty : x[id] / penalty);
	}
	r->max = row_max(x, r->V);
}

static float times(int32_t count, int32_t ids_len) { return (float)count; }
static float once(int32_t count, int32_t ids_len) { return 1.0f; }
static float share(int32_t count, int32_t ids_len) { return (float)count / (float)ids_len; }

/* Of the ids from `from` on: each id's score less the penalty times what its count there comes to. */
static void penalise(struct row *r, int32_t from, float penalty, float (*weight)(int32_t count, int32_t ids_len))
{
	float *x = row_own(r);

	for (int32_t i = from; i < r->in->ids_len; i++)
		if ((uint32_t)r->in->ids[i] < (uint32_t)r->V)
			r->count[r->in->ids[i]]++;
	for (int32_t i = from; i < r->in->ids_len; i++) {
		int32_t id = r->in->ids[i];

		if ((uint32_t)id >= (uint32_t)r->V || r->count[id] == 0)
			continue;
		x[id] = clamped(x[id], x[id] - penalty * weight(r->count[id], r->in->ids_len));
		r->count[id] = 0;
	}
	r->max = row_max(x, r->V);
}

/* OpenAI's two penalties look at the answer alone. */
static void warp_frequency_penalty(struct row *r)
{
	penalise(r, r->in->prompt_len, r->in->p->frequency_penalty, times);
}

/* TGI's looks at the prompt too, and grows weaker with the text. (Its batches count their padding; an id's share here is its own.) */
static void warp_frequency_share(struct row *r)
{
	penalise(r, 0, r->in->p->frequency_share, share);
}

static void warp_presence_penalty(struct row *r)
{
	penalise(r, r->in->prompt_len, r->in->p->presence_penalty, once);
}

static void warp_temperature(struct row *r)
{
	r->temperature = r->in->p->temperature;         /* weights divide by it, after the maximum is taken off */
}

static void warp_top_k(struct row *r)
{
	if (r->in->p->top_k >= r->V)
		return;
	r->len = largest(r, r->in->p->top_k, r->idx);
	r->all = false;
	weigh_list(r);
}

/* Make the list of candidates whose weight is above `floor`. */
static void row_list(struct row *r, float floor)
{
	if (!r->all)
		return;
	if (!r->weighed)
		weigh_all(r);
	r->len = collect(r->e, r->V, floor, true, r->idx);
	r->all = false;
	for (int32_t i = 0; i < r->len; i++)
		r->e[i] = r->e[r->idx[i]];
}

/* In the histogram of float bits larger weights come first; a bucket is a sixteenth of an octave. */
static int bucket_of(float weight)
{
	uint32_t bits, top = 0x3f800000u >> 19;

	memcpy(&bits, &weight, sizeof(bits));
	bits = top - (bits >> 19);
	return bits < BUCKETS ? (int)bits : BUCKETS - 1;
}

/* Pairs of the weights among which the cut is; *ret_before: the mass of all that are larger. */
static int32_t cut_bucket(struct row *r, double target, double *ret_before)
{
	double mass[BUCKETS] = { 0 }, above = 0.0;
	int32_t n = 0;
	int b = 0;

	for (int32_t i = 0; i < r->len; i++)
		mass[bucket_of(r->e[i])] += r->e[i];
	/* Should rounding keep the whole sum below the target, the cut is in the last bucket that holds something. */
	for (int k = 0; k < BUCKETS; k++) {
		if (mass[k] == 0.0)
			continue;
		*ret_before = above;
		b = k;
		above += mass[k];
		if (above >= target)
			break;
	}
	for (int32_t i = 0; i < r->len; i++) {
		r->pairs[n] = (struct pair){ r->e[i], r->e[i] };
		n += bucket_of(r->e[i]) == b;
	}
	return n;
}

/* Keep what is above the cut, and so many of those on it. */
static void row_cut(struct row *r, double cut, int64_t ties)
{
	double mass = 0.0;
	int32_t kept = 0;

	for (int32_t i = 0; i < r->len; i++) {
		float e = r->e[i];
		bool keep = (double)e > cut || ((double)e == cut && ties-- > 0);

		r->idx[kept] = r->idx[i];
		r->e[kept] = e;
		kept += keep;
		mass += keep ? e : 0.0f;
	}
	r->len = kept;
	r->mass = mass;
}

/*
 * TGI: ascending, dropped where the running sum, the token's own included, is not above 1 - p. The same from above: kept
 * while the sum of all larger ones is below p. Of equals at the cut the lower ids are kept.
 */
static void warp_top_p(struct row *r)
{
	double target, floor, before = 0.0;
	int32_t n;
	int64_t ties;
	float cut;

	if (r->all && !r->weighed && r->x == r->in->logits && r->temperature == 1.0f) {
		/* Untouched logits: their mass is known, and only those above the floor need weights. */
		double whole = exp((double)r->in->logsumexp - (double)r->max);

		floor = (1.0 - (double)r->in->p->top_p) * whole / r->V;
		r->len = collect(r->x, r->V, (float)((double)r->max + log(floor)), false, r->idx);
		r->all = false;
		weigh_list(r);
		r->mass = whole;
	} else {
		if (r->all && !r->weighed)
			weigh_all(r);
		row_list(r, (float)((1.0 - (double)r->in->p->top_p) * r->mass / r->V));
	}
	target = (double)r->in->p->top_p * r->mass;
	if (r->len > 4 * BLOCK) {
		n = cut_bucket(r, target, &before);
	} else {
		for (n = 0; n < r->len; n++)
			r->pairs[n] = (struct pair){ r->e[n], r->e[n] };
	}
	cut = cut_find(r->pairs, n, before, target, &before);
	ties = cut > 0.0f ? (int64_t)ceil((target - before) / cut) : 1;
	ties = ties < 1 ? 1 : ties;
	row_cut(r, (double)cut, ties);
}

/* -log p - H of a token is mean - s, with s its scaled score and `mean` the expected one: the logarithms cancel. */
static void warp_typical_p(struct row *r)
{
	double mean = 0.0, mass = 0.0, before;
	int32_t kept = 0;
	float cut;

	row_list(r, 0.0f);
	for (int32_t i = 0; i < r->len; i++)
		mean += r->e[i] > 0.0f ? r->e[i] * (double)((r->x[r->idx[i]] - r->max) / r->temperature) : 0.0;
	mean /= r->mass;
	for (int32_t i = 0; i < r->len; i++) {
		double s = (double)((r->x[r->idx[i]] - r->max) / r->temperature);

		r->pairs[i] = (struct pair){ (float)-fabs(s - mean), r->e[i] };
	}
	cut = cut_find(r->pairs, r->len, 0.0, (double)r->in->p->typical_p * r->mass, &before);
	for (int32_t i = 0; i < r->len; i++) {
		double s = (double)((r->x[r->idx[i]] - r->max) / r->temperature);

		if ((float)-fabs(s - mean) < cut)
			continue;
		r->idx[kept] = r->idx[i];
		r->e[kept++] = r->e[i];
		mass += r->e[i];
	}
	r->len = kept;
	r->mass = mass;
}

/* typical-p may have cut the likeliest of all: the measure is the likeliest that is left. */
static void warp_min_p(struct row *r)
{
	float most = 0.0f;

	row_list(r, 0.0f);
	for (int32_t i = 0; i < r->len; i++)
		most = r->e[i] > most ? r->e[i] : most;
	row_cut(r, (double)r->in->p->min_p * (double)most, INT64_MAX);
}

#define SK_WARP(name, on, words) \
	static bool on_##name(const struct sk_sample_params *p) { return on; }
#include "engine/sample/warp.def"
#undef SK_WARP

static const struct {
	const char *name;
	bool (*on)(const struct sk_sample_params *p);
	void (*apply)(struct row *r);
} warps[] = {
#define SK_WARP(name, on, words) { #name, on_##name, warp_##name },
#include "engine/sample/warp.def"
#undef SK_WARP
};
#define WARPS ((int)(sizeof(warps) / sizeof(warps[0])))

bool sk_sample_is_plain(const struct sk_sample_params *p)
{
	if (p->draw || p->top_n > 0)
		return false;
	for (int i = 0; i < WARPS; i++)
		if (warps[i].on(p))
			return false;
	return true;
}

/* ---- choosing ---- */

/* Inverse of the running sum, in index order. */
static int32_t draw(struct row *r, double u)
{
	double at = u * r->mass, sum = 0.0;
	int32_t from = 0, to = r->len, last = 0;

	if (r->all) {
		int32_t b = 0, blocks = (r->V + BLOCK - 1) / BLOCK;

		for (; b + 1 < blocks && sum + r->block_mass[b] <= at; b++)
			sum += r->block_mass[b];
		from = b * BLOCK;
		to = r->V - from < BLOCK ? r->V : from + BLOCK;
		last = from;
	}
	for (int32_t i = from; i < to; i++) {
		if (r->e[i] == 0.0f)
			continue;
		last = i;
		sum += r->e[i];
		if (sum > at)
			break;
	}
	return r->all ? last : r->idx[last];
}

/*
 * As TGI on the CPU: the greatest of softmax / exponential noise, a number of noise for every score, cut or not. It takes
 * 2 * V words of the generator a token, hence the memory of where it stands.
 */
static int32_t draw_torch(struct row *r)
{
	struct sk_sample_torch *t = r->in->torch;
	int32_t done = 0, best = r->in->argmax; /* done: scores that have had their noise */
	float most = -1.0f;

	if (t->next == 0 || t->next != r->in->index) {
		sk_mt_seed(&t->mt, r->in->p->seed);
		sk_mt_skip(&t->mt, (uint64_t)r->in->index * (uint64_t)r->V * 2);
	}
	t->next = r->in->index + 1;
	for (int32_t i = 0; i < r->len; i++) {
		int32_t at = r->all ? i : r->idx[i];
		float score;

		if (r->e[i] == 0.0f)
			continue;
		sk_mt_skip(&t->mt, 2 * (uint64_t)(at - done));
		done = at + 1;
		score = (float)(r->e[i] / r->mass) / sk_mt_exponential(&t->mt);
		if (score > most) {
			most = score;
			best = at;
		}
	}
	sk_mt_skip(&t->mt, 2 * (uint64_t)(r->V - done));
	return best;
}

static int32_t argmax(const struct row *r)
{
	for (int32_t i = 0; i < r->V; i++)
		if (r->x[i] == r->max)
			return i;
	return r->in->argmax;
}

/* Weights and their logarithm are rounded, so the last token left could come out as likelier than certain. */
static float logprob_of(const struct row *r, float score, double log_mass)
{
	float logprob = (float)((double)((score - r->max) / r->temperature) - log_mass);

	return logprob > 0.0f ? 0.0f : logprob;
}

/* The n likeliest of what is left, and whoever equals the last of them, by falling score, then by id. */
static void report_top(struct row *r, struct sk_sample_out *out, double log_mass)
{
	/* The second half of the pairs: selection needs the first for values, and idx may be the list of candidates. */
	int32_t *found = (int32_t *)((float *)r->pairs + rounded(r->V));
	int32_t n = largest(r, (int32_t)r->in->p->top_n, found);

	out->top_len = 0;
	for (int32_t i = 0; i < n; i++) {
		float score = r->x[found[i]];
		uint32_t at = out->top_len;

		/* Insertion: n is top_n and its ties, a handful. */
		while (at > 0 && out->top[at - 1].logprob < score)
			at--;
		if (at >= out->top_max)
			continue;
		if (out->top_len < out->top_max)
			out->top_len++;
		memmove(&out->top[at + 1], &out->top[at], (out->top_len - at - 1) * sizeof(*out->top));
		out->top[at] = (struct sk_sample_alt){ found[i], score };
	}
	for (uint32_t i = 0; i < out->top_len; i++)
		out->top[i].logprob = logprob_of(r, out->top[i].logprob, log_mass);
}

void sk_sample(const struct sk_sample_in *in, struct sk_sample_out *out, void *scratch)
{
	const struct sk_sample_params *p = in->p;
	bool warped = false;
	double log_mass;
	struct row r;

	out->top_len = 0;
	if (!isfinite(in->logsumexp) || !isfinite(in->max)) {
		/* The model has produced no numbers. The caller sees it by the log-probability. */
		out->id = in->argmax;
		out->logprob = NAN;
		return;
	}
	row_init(&r, in, scratch);
	for (int i = 0; i < WARPS; i++)
		if (warps[i].on(p)) {
			warps[i].apply(&r);
			warped = true;
		}
	if (!warped && !p->draw) {
		out->id = in->argmax;
		log_mass = (double)in->logsumexp - (double)in->max;
	} else {
		if (!r.weighed)
			weigh_all(&r);
		log_mass = log(r.mass);
		if (!p->draw)
			out->id = argmax(&r);
		else
			out->id = in->torch ? draw_torch(&r) : draw(&r, sk_rand_uniform(p->seed, in->seq, in->index));
	}
	out->logprob = logprob_of(&r, r.x[out->id], log_mass);
	if (p->top_n > 0 && out->top_max > 0)
		report_top(&r, out, log_mass);
}
