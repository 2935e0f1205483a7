/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The places of max-concurrent-requests, and who may have how many of them while others wait.
 *
 * A client's share is the part of the places that its weight has among the clients that hold one or wait for one, and one place at
 * least; who holds none may have one request of several.
 * While nobody else waits it may hold all there are. A client waits when it was refused although it held less than its
 * share, until it gets a place, or SK_PERMITS_WAIT_S later, when every Retry-After is over; as long as one does, nobody gets a place
 * beyond his share, so that the next ones that become free are for those who wait.
 *
 * Any thread: a mutex inside. Times are arguments.
 */
#ifndef SK_FCGI_PERMITS_H
#define SK_FCGI_PERMITS_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#define SK_PERMITS_CLIENTS 1024         /* known at once; further ones have places, and no share */
#define SK_PERMITS_WAIT_S 65

struct sk_permits_client {
	uint64_t id;
	int64_t held;
	uint32_t weight;
	int64_t waits_until_us;         /* 0: it does not wait */
};

struct sk_permits {
	pthread_mutex_t lock;
	/* under lock */
	int64_t limit, used;            /* used may be above the limit: a reload has lowered it */
	int len;
	struct sk_permits_client clients[SK_PERMITS_CLIENTS];
};

enum sk_permits_answer {
	SK_PERMITS_GIVEN,
	SK_PERMITS_NONE,                /* there are not so many free */
	SK_PERMITS_SHARE,               /* there may be, but this client has its share and another waits */
};

void sk_permits_init(struct sk_permits *p, int64_t limit);
void sk_permits_fini(struct sk_permits *p);

/* n places, all or none. client 0: nobody in particular, whom no share binds. weight > 0. */
enum sk_permits_answer sk_permits_take(struct sk_permits *p, int n, uint64_t client, uint32_t weight, int64_t now_us);
void sk_permits_give(struct sk_permits *p, int n, uint64_t client);
void sk_permits_limit(struct sk_permits *p, int64_t limit);
int64_t sk_permits_used(struct sk_permits *p);

#endif
