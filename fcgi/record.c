/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reader of FastCGI input records: see record.h for its contract.
 *
 * Not libfcgi's: that one blocks a thread per slow upload and dies on lengths near INT_MAX and on repeated
 * FCGI_GET_VALUES names. This one is a state machine over bytes; every length is compared with a limit before it is used.
 */
#include "fcgi/record.h"

#include <string.h>

#define HEAD_BYTES 8
#define ROLE_RESPONDER 1
#define FLAG_KEEP_CONN 1

void sk_record_init(struct sk_record *p, const struct sk_record_limits *limits)
{
	memset(p, 0, sizeof *p);
	p->limits = *limits;
	sk_buf_init(&p->params, limits->params_bytes_max);
	sk_buf_init(&p->body, limits->body_bytes_max);
	/* A peer that asks management questions faster than it reads the answers is cut off here. */
	sk_buf_init(&p->out, 16384);
}

void sk_record_fini(struct sk_record *p)
{
	sk_record_body_drop(p);
	sk_buf_fini(&p->params);
	sk_buf_fini(&p->out);
}

void sk_record_body_drop(struct sk_record *p)
{
	sk_buf_fini(&p->body);
	if (p->limits.bodies_left)
		*p->limits.bodies_left += p->charged;
	p->charged = 0;
}

void sk_record_body_refuse(struct sk_record *p)
{
	p->refused = true;
	sk_record_body_drop(p);
}

void sk_record_next(struct sk_record *p)
{
	p->state = SK_RECORD_IDLE;
	p->keep_conn = false;
	p->too_large = p->refused = false;
	sk_buf_clear(&p->params);
	/* A kept connection should not keep the memory of its largest body. */
	if (p->body.cap > SK_RECORD_BODY_FREE)
		sk_record_body_drop(p);
	sk_buf_clear(&p->body);
}

bool sk_record_reading(const struct sk_record *p)
{
	return p->state == SK_RECORD_PARAMS || p->state == SK_RECORD_BODY || p->head_len || p->content_left;
}

/* ---- answers ------------------------------------------------------------------------------------------------ */

static void put_head(struct sk_buf *out, enum sk_fcgi_type type, uint16_t id, uint16_t len)
{
	const uint8_t h[HEAD_BYTES] = { SK_FCGI_VERSION, (uint8_t)type, (uint8_t)(id >> 8), (uint8_t)id,
					(uint8_t)(len >> 8), (uint8_t)len, 0, 0 };

	sk_buf_add(out, h, sizeof h);
}

void sk_record_end_request(struct sk_buf *out, uint16_t id, enum sk_fcgi_end status)
{
	const uint8_t body[8] = { 0, 0, 0, 0, (uint8_t)status };

	put_head(out, SK_FCGI_END_REQUEST, id, sizeof body);
	sk_buf_add(out, body, sizeof body);
}

/* One length of the name-value encoding (section 3.4): one byte, or four with the top bit set. 0: it does not fit. */
static size_t pair_len(const uint8_t *s, size_t len, uint32_t *ret_value)
{
	if (!len)
		return 0;
	if (!(s[0] & 0x80)) {
		*ret_value = s[0];
		return 1;
	}
	if (len < 4)
		return 0;
	*ret_value = (uint32_t)(s[0] & 0x7f) << 24 | (uint32_t)s[1] << 16 | (uint32_t)s[2] << 8 | s[3];
	return 4;
}

/* The next pair of [*at, len): false at the end or when a length points outside. */
static bool pair_next(const uint8_t *s, size_t len, size_t *at, const uint8_t **name, uint32_t *name_len,
		      const uint8_t **value, uint32_t *value_len)
{
	size_t n = pair_len(s + *at, len - *at, name_len), m;

	if (!n)
		return false;
	m = pair_len(s + *at + n, len - *at - n, value_len);
	if (!m || (uint64_t)*name_len + *value_len > len - *at - n - m)
		return false;
	*name = s + *at + n + m;
	*value = *name + *name_len;
	*at += n + m + *name_len + *value_len;
	return true;
}

/* FCGI_GET_VALUES: each variable known is answered once, however often it is asked for. */
static void answer_values(struct sk_record *p)
{
	static const struct { const char *name, *value; } vars[] = {
		{ "FCGI_MAX_CONNS", "4096" }, { "FCGI_MAX_REQS", "4096" }, { "FCGI_MPXS_CONNS", "0" },
	};
	bool asked[3] = { false };
	uint8_t body[128];
	size_t len = 0, at = 0;
	const uint8_t *name, *value;
	uint32_t name_len, value_len;

	while (pair_next(p->small, p->small_len, &at, &name, &name_len, &value, &value_len))
		for (size_t i = 0; i < 3; i++)
			if (name_len == strlen(vars[i].name) && !memcmp(name, vars[i].name, name_len))
				asked[i] = true;
	for (size_t i = 0; i < 3; i++) {
		if (!asked[i])
			continue;
		body[len++] = (uint8_t)strlen(vars[i].name);
		body[len++] = (uint8_t)strlen(vars[i].value);
		memcpy(body + len, vars[i].name, strlen(vars[i].name));
		len += strlen(vars[i].name);
		memcpy(body + len, vars[i].value, strlen(vars[i].value));
		len += strlen(vars[i].value);
	}
	put_head(&p->out, SK_FCGI_GET_VALUES_RESULT, 0, (uint16_t)len);
	sk_buf_add(&p->out, body, len);
}

static void answer_unknown(struct sk_record *p, uint8_t type)
{
	const uint8_t body[8] = { type };

	put_head(&p->out, SK_FCGI_UNKNOWN_TYPE, 0, sizeof body);
	sk_buf_add(&p->out, body, sizeof body);
}

/* ---- records ------------------------------------------------------------------------------------------------ */

static uint16_t rec_id(const struct sk_record *p)
{
	return (uint16_t)(p->head[2] << 8 | p->head[3]);
}

static uint16_t rec_len(const struct sk_record *p)
{
	return (uint16_t)(p->head[4] << 8 | p->head[5]);
}

/* The header is complete: may this record come now, and how much of its content is kept? */
static sk_status begin_record(struct sk_record *p, struct sk_err *err)
{
	uint8_t type = p->head[1];
	uint16_t id = rec_id(p), len = rec_len(p);

	if (p->head[0] != SK_FCGI_VERSION)
		return sk_fail(err, SK_EFORMAT, "FastCGI version %d, only %d is known", p->head[0], SK_FCGI_VERSION);
	if (type == SK_FCGI_BEGIN_REQUEST && (id == 0 || len != 8))
		return sk_fail(err, SK_EFORMAT, "FastCGI BEGIN_REQUEST with id %d and %d bytes, 8 are right", id, len);
	p->content_left = len;
	p->padding_left = p->head[6];
	p->small_len = 0;
	p->small_want = type == SK_FCGI_BEGIN_REQUEST || (type == SK_FCGI_GET_VALUES && id == 0) ? len : 0;
	if (p->small_want > sizeof p->small)
		p->small_want = sizeof p->small;
	return SK_OK;
}

/* Take what the body grows by from what all bodies share. false: they have taken all. */
static bool body_charge(struct sk_record *p, size_t more)
{
	uint64_t len = p->body.len + more, owed = len > SK_RECORD_BODY_FREE ? len - SK_RECORD_BODY_FREE : 0;

	if (!p->limits.bodies_left || owed <= p->charged)
		return true;
	if (owed - p->charged > *p->limits.bodies_left)
		return false;
	*p->limits.bodies_left -= owed - p->charged;
	p->charged = owed;
	return true;
}

static sk_status take_body(struct sk_record *p, const uint8_t *s, size_t len, struct sk_err *err)
{
	if (len > p->body.max - p->body.len)
		p->too_large = true;
	else if (!body_charge(p, len))
		p->refused = true;
	else if (sk_buf_add(&p->body, s, len) < 0)
		return sk_fail(err, SK_ENOMEM, "no memory for a request body");
	if (p->too_large || p->refused)
		sk_record_body_drop(p);
	return SK_OK;
}

/* Content bytes of the record being read. */
static sk_status take_content(struct sk_record *p, const uint8_t *s, size_t len, struct sk_err *err)
{
	uint8_t type = p->head[1];
	bool mine = rec_id(p) == p->id && rec_id(p) != 0;

	if (p->small_len < p->small_want) {
		size_t n = p->small_want - p->small_len < len ? p->small_want - p->small_len : len;

		memcpy(p->small + p->small_len, s, n);
		p->small_len += (uint32_t)n;
	} else if (type == SK_FCGI_PARAMS && mine && p->state == SK_RECORD_PARAMS) {
		if (sk_buf_add(&p->params, s, len) == SK_ENOMEM)
			return sk_fail(err, SK_ENOMEM, "no memory for FastCGI parameters");
		if (p->params.failed)
			return sk_fail(err, p->params.failed, "FastCGI parameters over the limit of %u bytes",
				       p->limits.params_bytes_max);
	} else if (type == SK_FCGI_STDIN && mine && p->state == SK_RECORD_BODY && !p->too_large && !p->refused) {
		return take_body(p, s, len, err);
	}
	return SK_OK;
}

static void begin_request(struct sk_record *p)
{
	uint16_t id = rec_id(p), role = (uint16_t)(p->small[0] << 8 | p->small[1]);

	if (p->state != SK_RECORD_IDLE) {
		sk_record_end_request(&p->out, id, SK_FCGI_CANT_MPX_CONN);
		return;
	}
	if (role != ROLE_RESPONDER) {
		sk_record_end_request(&p->out, id, SK_FCGI_UNKNOWN_ROLE);
		p->hang_up = !(p->small[2] & FLAG_KEEP_CONN);
		return;
	}
	p->id = id;
	p->hang_up = false;             /* it goes on after all */
	p->keep_conn = p->small[2] & FLAG_KEEP_CONN;
	p->state = SK_RECORD_PARAMS;
}

/* A record is complete. */
static enum sk_record_news end_record(struct sk_record *p)
{
	uint8_t type = p->head[1];
	uint16_t id = rec_id(p);
	bool mine = id == p->id && id != 0 && p->state != SK_RECORD_IDLE, empty = rec_len(p) == 0;

	switch (type) {
	case SK_FCGI_BEGIN_REQUEST:
		begin_request(p);
		break;
	case SK_FCGI_PARAMS:
		if (mine && empty && p->state == SK_RECORD_PARAMS)
			p->state = SK_RECORD_BODY;
		break;
	case SK_FCGI_STDIN:
		if (mine && empty && p->state == SK_RECORD_BODY) {
			p->state = SK_RECORD_BUSY;
			return SK_RECORD_REQUEST;
		}
		break;
	case SK_FCGI_ABORT_REQUEST:
		if (!mine)
			break;
		if (p->state == SK_RECORD_BUSY)
			return SK_RECORD_ABORT;
		/* Not complete yet: nobody works on it, so it ends here. */
		sk_record_end_request(&p->out, id, SK_FCGI_COMPLETE);
		sk_record_next(p);
		break;
	case SK_FCGI_GET_VALUES:
		if (id == 0)
			answer_values(p);
		break;
	case SK_FCGI_DATA:
		break;
	default:
		if (id == 0)
			answer_unknown(p, type);
		break;
	}
	return SK_RECORD_MORE;
}

sk_status sk_record_feed(struct sk_record *p, const void *bytes, size_t len, size_t *ret_used,
			 enum sk_record_news *ret_news, struct sk_err *err)
{
	const uint8_t *s = bytes;
	size_t at = 0;
	sk_status st;

	*ret_news = SK_RECORD_MORE;
	while (at < len && *ret_news == SK_RECORD_MORE) {
		size_t n = len - at;

		if (p->head_len < HEAD_BYTES) {
			if (n > (size_t)(HEAD_BYTES - p->head_len))
				n = HEAD_BYTES - p->head_len;
			memcpy(p->head + p->head_len, s + at, n);
			p->head_len = (uint8_t)(p->head_len + n);
			if (p->head_len == HEAD_BYTES && (st = begin_record(p, err)) < 0)
				return st;
		} else if (p->content_left) {
			if (n > p->content_left)
				n = p->content_left;
			if ((st = take_content(p, s + at, n, err)) < 0)
				return st;
			p->content_left -= (uint32_t)n;
		} else {
			if (n > p->padding_left)
				n = p->padding_left;
			p->padding_left -= (uint32_t)n;
		}
		at += n;
		if (p->head_len == HEAD_BYTES && !p->content_left && !p->padding_left) {
			*ret_news = end_record(p);
			p->head_len = 0;
			if (p->out.failed == SK_ENOMEM)
				return sk_fail(err, SK_ENOMEM, "no memory to answer a FastCGI question");
			if (p->out.failed)
				return sk_fail(err, SK_ETOOBIG, "FastCGI peer asks without reading the answers");
		}
	}
	*ret_used = at;
	return SK_OK;
}

sk_status sk_record_params(const struct sk_record *p, struct sk_arena *a, const char ***ret_params, struct sk_err *err)
{
	const uint8_t *s = (const uint8_t *)p->params.data, *name, *value;
	uint32_t name_len, value_len;
	size_t at = 0, pairs = 0, i = 0;
	const char **out;

	while (at < p->params.len) {
		if (!pair_next(s, p->params.len, &at, &name, &name_len, &value, &value_len))
			return sk_fail(err, SK_EFORMAT, "FastCGI parameter %zu is longer than its stream", pairs + 1);
		if (memchr(name, 0, name_len) || memchr(value, 0, value_len))
			return sk_fail(err, SK_EFORMAT, "FastCGI parameter %zu holds a NUL byte", pairs + 1);
		if (++pairs > p->limits.params_max)
			return sk_fail(err, SK_ETOOBIG, "over %u FastCGI parameters", p->limits.params_max);
	}
	out = sk_arena_take(a, (2 * pairs + 1) * sizeof *out);
	if (!out)
		return sk_fail(err, SK_ENOMEM, "no memory for FastCGI parameters");
	at = 0;
	while (at < p->params.len && pair_next(s, p->params.len, &at, &name, &name_len, &value, &value_len)) {
		out[i++] = sk_arena_strndup(a, (const char *)name, name_len);
		out[i++] = sk_arena_strndup(a, (const char *)value, value_len);
		if (!out[i - 1] || !out[i - 2])
			return sk_fail(err, SK_ENOMEM, "no memory for FastCGI parameters");
	}
	*ret_params = out;
	return SK_OK;
}
