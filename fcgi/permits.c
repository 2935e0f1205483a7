/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Counting places. The table of clients is walked: it holds those with places or claims, a thousand at most, and a request is
 * rare beside a walk of a microsecond.
 */
#include "fcgi/permits.h"

#include <stddef.h>

#include "engine/base/err.h"

void sk_permits_init(struct sk_permits *p, int64_t limit)
{
	pthread_mutex_init(&p->lock, NULL);
	p->limit = limit;
	p->used = 0;
	p->len = 0;
}

void sk_permits_fini(struct sk_permits *p)
{
	pthread_mutex_destroy(&p->lock);
}

/* Who neither holds a place nor waits for one any more leaves the table. */
static void forget(struct sk_permits *p, int64_t now_us)
{
	for (int i = 0; i < p->len; i++) {
		struct sk_permits_client *c = &p->clients[i];

		if (c->waits_until_us <= now_us)
			c->waits_until_us = 0;
		if (!c->held && !c->waits_until_us)
			p->clients[i--] = p->clients[--p->len];
	}
}

static struct sk_permits_client *find(struct sk_permits *p, uint64_t id)
{
	for (int i = 0; id && i < p->len; i++)
		if (p->clients[i].id == id)
			return &p->clients[i];
	return NULL;
}

static struct sk_permits_client *find_or_add(struct sk_permits *p, uint64_t id, uint32_t weight)
{
	struct sk_permits_client *c = find(p, id);

	if (!c && id && p->len < SK_PERMITS_CLIENTS) {
		c = &p->clients[p->len++];
		*c = (struct sk_permits_client){ .id = id };
	}
	if (c)
		c->weight = weight;
	return c;
}

static int64_t share_of(const struct sk_permits *p, const struct sk_permits_client *c)
{
	uint64_t weights = 0;
	int64_t share;

	for (int i = 0; i < p->len; i++)
		weights += p->clients[i].weight;
	share = (int64_t)((uint64_t)p->limit * c->weight / weights);
	return share > 0 ? share : 1;
}

static bool others_wait(const struct sk_permits *p, const struct sk_permits_client *c)
{
	for (int i = 0; i < p->len; i++)
		if (&p->clients[i] != c && p->clients[i].waits_until_us)
			return true;
	return false;
}

enum sk_permits_answer sk_permits_take(struct sk_permits *p, int n, uint64_t client, uint32_t weight, int64_t now_us)
{
	enum sk_permits_answer answer = SK_PERMITS_GIVEN;
	struct sk_permits_client *c;
	bool within, below;

	pthread_mutex_lock(&p->lock);
	forget(p, now_us);
	c = find_or_add(p, client, weight);
	/* Who holds nothing may have one request of several places: with a share below it would never have it. */
	within = !c || c->held == 0 || c->held + n <= share_of(p, c);
	below = c && c->held < share_of(p, c);
	if (!within && others_wait(p, c))
		answer = SK_PERMITS_SHARE;
	else if (p->limit - p->used < n)
		answer = SK_PERMITS_NONE;
	if (answer == SK_PERMITS_GIVEN)
		p->used += n;
	if (c && answer == SK_PERMITS_GIVEN) {
		c->held += n;
		c->waits_until_us = 0;
	} else if (below) {
		c->waits_until_us = now_us + SK_PERMITS_WAIT_S * INT64_C(1000000);
	}
	pthread_mutex_unlock(&p->lock);
	return answer;
}

void sk_permits_give(struct sk_permits *p, int n, uint64_t client)
{
	struct sk_permits_client *c;

	pthread_mutex_lock(&p->lock);
	p->used -= n;
	SK_BUG_IF(p->used < 0);
	c = find(p, client);
	/* Places that it got while the table was full are not in its count. */
	if (c)
		c->held = c->held > n ? c->held - n : 0;
	pthread_mutex_unlock(&p->lock);
}

void sk_permits_limit(struct sk_permits *p, int64_t limit)
{
	pthread_mutex_lock(&p->lock);
	p->limit = limit;
	pthread_mutex_unlock(&p->lock);
}

int64_t sk_permits_used(struct sk_permits *p)
{
	int64_t used;

	pthread_mutex_lock(&p->lock);
	used = p->used;
	pthread_mutex_unlock(&p->lock);
	return used;
}
