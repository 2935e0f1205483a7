/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads and validates request bodies by tables; knows no field by name.
 */
#include "fcgi/schema.h"

#include <inttypes.h>
#include <json-c/json.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "engine/base/buf.h"
#include "fcgi/json.h"

/* Where a value stands in the body, for messages: parameters.stop[1]. */
struct place {
	const struct sk_field *field;
	int64_t item;                   /* -1: the field itself */
};

/* What the JSON value is, in serde's words: `string "x"`, `integer -1`, `map`. */
static const char *describe(struct json_object *v, char out[96])
{
	switch (json_object_get_type(v)) {
	case json_type_boolean:
		snprintf(out, 96, "boolean `%s`", json_object_get_boolean(v) ? "true" : "false");
		break;
	case json_type_int:
	case json_type_double: {
		const char *kind = json_object_is_type(v, json_type_int) ? "integer" : "floating point";

		snprintf(out, 96, "%s `%.60s`", kind, json_object_to_json_string_ext(v, JSON_C_TO_STRING_PLAIN));
		break;
	}
	case json_type_string:
		if (json_object_get_string_len(v) <= 60)
			snprintf(out, 96, "string \"%s\"", json_object_get_string(v));
		else
			snprintf(out, 96, "string of %d bytes", json_object_get_string_len(v));
		break;
	case json_type_array:
		snprintf(out, 96, "sequence");
		break;
	case json_type_object:
		snprintf(out, 96, "map");
		break;
	default:
		snprintf(out, 96, "null");
		break;
	}
	return out;
}

static sk_status wrong(const struct place *at, const char *how, struct json_object *v, const char *expected,
		       struct sk_err *err)
{
	const struct sk_field *f = at->field;
	char item[32] = "", what[96];

	if (at->item >= 0)
		snprintf(item, sizeof item, "[%" PRId64 "]", at->item);
	return sk_fail(err, SK_EINVAL, "%s%s%s%s: invalid %s: %s, expected %s", f->group ? f->group : "",
		       f->group ? "." : "", f->name, item, how, describe(v, what), expected);
}

/* ---- one reader a type -------------------------------------------------------------------------------------- */

typedef sk_status (*read_fn)(struct json_object *, const struct place *, struct sk_field_value *, struct sk_arena *,
			     struct sk_err *);

static struct sk_str lend(struct json_object *v)
{
	return (struct sk_str){ json_object_get_string(v), (size_t)json_object_get_string_len(v) };
}

static sk_status read_str(struct json_object *v, const struct place *at, struct sk_field_value *ret,
			  struct sk_arena *arena, struct sk_err *err)
{
	if (!json_object_is_type(v, json_type_string))
		return wrong(at, "type", v, "a string", err);
	ret->str = lend(v);
	return SK_OK;
}

static sk_status read_bool(struct json_object *v, const struct place *at, struct sk_field_value *ret,
			   struct sk_arena *arena, struct sk_err *err)
{
	if (!json_object_is_type(v, json_type_boolean))
		return wrong(at, "type", v, "a boolean", err);
	ret->yes = json_object_get_boolean(v);
	return SK_OK;
}

/* json-c gives int64 for what fits and clips the rest to INT64_MAX, so uint64 is asked for separately. */
static sk_status read_unsigned(struct json_object *v, const struct place *at, struct sk_field_value *ret,
			       uint64_t max, struct sk_err *err)
{
	const char *name = sk_field_type_name(at->field->type);

	if (!json_object_is_type(v, json_type_int))
		return wrong(at, "type", v, name, err);
	if (json_object_get_int64(v) < 0 || json_object_get_uint64(v) > max)
		return wrong(at, "value", v, name, err);
	ret->u = json_object_get_uint64(v);
	return SK_OK;
}

static sk_status read_u32(struct json_object *v, const struct place *at, struct sk_field_value *ret,
			  struct sk_arena *arena, struct sk_err *err)
{
	return read_unsigned(v, at, ret, UINT32_MAX, err);
}

static sk_status read_u64(struct json_object *v, const struct place *at, struct sk_field_value *ret,
			  struct sk_arena *arena, struct sk_err *err)
{
	return read_unsigned(v, at, ret, UINT64_MAX, err);
}

static sk_status read_i32(struct json_object *v, const struct place *at, struct sk_field_value *ret,
			  struct sk_arena *arena, struct sk_err *err)
{
	if (!json_object_is_type(v, json_type_int))
		return wrong(at, "type", v, "i32", err);
	ret->i = json_object_get_int64(v);
	if (ret->i < INT32_MIN || ret->i > INT32_MAX)
		return wrong(at, "value", v, "i32", err);
	return SK_OK;
}

static sk_status read_f32(struct json_object *v, const struct place *at, struct sk_field_value *ret,
			  struct sk_arena *arena, struct sk_err *err)
{
	if (!json_object_is_type(v, json_type_double) && !json_object_is_type(v, json_type_int))
		return wrong(at, "type", v, "f32", err);
	ret->f = (float)json_object_get_double(v);
	if (!isfinite(ret->f))
		return wrong(at, "value", v, "f32", err);
	return SK_OK;
}

static sk_status read_strs(struct json_object *v, const struct place *at, struct sk_field_value *ret,
			   struct sk_arena *arena, struct sk_err *err)
{
	size_t len;

	if (!json_object_is_type(v, json_type_array))
		return wrong(at, "type", v, "a sequence", err);
	len = json_object_array_length(v);
	ret->strs.items = sk_arena_take(arena, len * sizeof *ret->strs.items + 1);
	if (!ret->strs.items)
		return sk_fail(err, SK_ENOMEM, "out of memory for %zu strings", len);
	for (size_t i = 0; i < len; i++) {
		struct json_object *item = json_object_array_get_idx(v, i);
		struct place there = { at->field, (int64_t)i };

		if (!json_object_is_type(item, json_type_string))
			return wrong(&there, "type", item, "a string", err);
		ret->strs.items[i] = lend(item);
	}
	ret->strs.len = len;
	return SK_OK;
}

static sk_status read_ids(struct json_object *v, const struct place *at, struct sk_field_value *ret,
			  struct sk_arena *arena, struct sk_err *err)
{
	size_t len;

	if (!json_object_is_type(v, json_type_array))
		return wrong(at, "type", v, "a sequence", err);
	len = json_object_array_length(v);
	ret->ids.items = sk_arena_take(arena, len * sizeof *ret->ids.items + 1);
	if (!ret->ids.items)
		return sk_fail(err, SK_ENOMEM, "out of memory for %zu ids", len);
	for (size_t i = 0; i < len; i++) {
		struct json_object *item = json_object_array_get_idx(v, i);
		struct place there = { at->field, (int64_t)i };

		if (!json_object_is_type(item, json_type_int))
			return wrong(&there, "type", item, "a token id", err);
		if (json_object_get_int64(item) < 0 || json_object_get_int64(item) > INT32_MAX)
			return wrong(&there, "value", item, "a token id", err);
		ret->ids.items[i] = (int32_t)json_object_get_int64(item);
	}
	ret->ids.len = len;
	return SK_OK;
}

/* "50256": digits alone, as a number is written without a sign, and no two spellings of one id. */
static bool read_id(const char *s, int32_t *ret_id)
{
	int64_t id = 0;

	if (!*s || (s[0] == '0' && s[1]))
		return false;
	for (; *s; s++) {
		if (*s < '0' || *s > '9')
			return false;
		id = id * 10 + (*s - '0');
		if (id > INT32_MAX)
			return false;
	}
	*ret_id = (int32_t)id;
	return true;
}

static sk_status read_bias(struct json_object *v, const struct place *at, struct sk_field_value *ret,
			   struct sk_arena *arena, struct sk_err *err)
{
	const struct sk_field *f = at->field;
	size_t len = 0, count;
	char what[96];

	if (!json_object_is_type(v, json_type_object))
		return wrong(at, "type", v, "a map", err);
	count = (size_t)json_object_object_length(v);
	if (count > SK_LOGIT_BIAS_MAX)
		return sk_fail(err, SK_EINVAL, "%s%s%s: invalid length %zu, expected at most %d tokens", f->group ? f->group : "",
			       f->group ? "." : "", f->name, count, SK_LOGIT_BIAS_MAX);
	ret->bias.items = sk_arena_take(arena, count * sizeof *ret->bias.items + 1);
	if (!ret->bias.items)
		return sk_fail(err, SK_ENOMEM, "out of memory for %zu biases", count);
	json_object_object_foreach(v, key, number) {
		struct sk_logit_bias *b = &ret->bias.items[len++];

		if (!read_id(key, &b->id))
			return sk_fail(err, SK_EINVAL, "%s%s%s: invalid key \"%.60s\", expected a token id", f->group ? f->group : "",
				       f->group ? "." : "", f->name, key);
		if (!json_object_is_type(number, json_type_double) && !json_object_is_type(number, json_type_int))
			return sk_fail(err, SK_EINVAL, "%s%s%s.%s: invalid type: %s, expected f32", f->group ? f->group : "",
				       f->group ? "." : "", f->name, key, describe(number, what));
		b->bias = (float)json_object_get_double(number);
	}
	ret->bias.len = len;
	return SK_OK;
}

static sk_status read_any(struct json_object *v, const struct place *at, struct sk_field_value *ret,
			  struct sk_arena *arena, struct sk_err *err)
{
	return SK_OK;
}

/* ---- what a range is compared with -------------------------------------------------------------------------- */

static double measure_str(const struct sk_field_value *v) { return (double)v->str.len; }
static double measure_bool(const struct sk_field_value *v) { return v->yes; }
static double measure_u(const struct sk_field_value *v) { return (double)v->u; }
static double measure_i(const struct sk_field_value *v) { return (double)v->i; }
static double measure_f(const struct sk_field_value *v) { return (double)v->f; }
static double measure_strs(const struct sk_field_value *v) { return (double)v->strs.len; }
static double measure_ids(const struct sk_field_value *v) { return (double)v->ids.len; }

static double measure_bias(const struct sk_field_value *v)
{
	double most = 0.0;

	/* Infinity where a number is beyond float: out of every range. */
	for (size_t i = 0; i < v->bias.len; i++)
		most = fmax(most, fabs((double)v->bias.items[i].bias));
	return most;
}

static double measure_any(const struct sk_field_value *v) { return 1; }

static const struct {
	const char *name;
	read_fn read;
	double (*measure)(const struct sk_field_value *);
} types[SK_FIELD_TYPES] = {
	[SK_FIELD_STR]  = { "string",   read_str,  measure_str },
	[SK_FIELD_BOOL] = { "boolean",  read_bool, measure_bool },
	[SK_FIELD_U32]  = { "u32",      read_u32,  measure_u },
	[SK_FIELD_I32]  = { "i32",      read_i32,  measure_i },
	[SK_FIELD_U64]  = { "u64",      read_u64,  measure_u },
	[SK_FIELD_F32]  = { "f32",      read_f32,  measure_f },
	[SK_FIELD_STRS] = { "string[]", read_strs, measure_strs },
	[SK_FIELD_IDS]  = { "token id[]", read_ids, measure_ids },
	[SK_FIELD_BIAS] = { "map of token ids to f32", read_bias, measure_bias },
	[SK_FIELD_ANY]  = { "any",      read_any,  measure_any },
	[SK_FIELD_JSON] = { "any type", read_any,  measure_any },
};

const char *sk_field_type_name(enum sk_field_type type)
{
	return (unsigned)type < SK_FIELD_TYPES ? types[type].name : "?";
}

/* The object that holds f: the body, or the member f->group of it. *ret_holder NULL: that member is absent or null. */
static sk_status find_holder(const struct sk_field *f, struct json_object *body, struct json_object **ret_holder,
			     struct sk_err *err)
{
	struct json_object *group = NULL;
	char what[96];

	if (!f->group) {
		*ret_holder = body;
		return SK_OK;
	}
	if (sk_json_is_duplicate(body, f->group))
		return sk_fail(err, SK_EINVAL, "duplicate field `%s`", f->group);
	json_object_object_get_ex(body, f->group, &group);
	if (group && !json_object_is_type(group, json_type_object))
		return sk_fail(err, SK_EINVAL, "%s: invalid type: %s, expected a map", f->group,
			       describe(group, what));
	*ret_holder = group;
	return SK_OK;
}

sk_status sk_schema_read(const struct sk_field *fields, size_t fields_len, struct json_object *body, unsigned dialect,
			 void *ret_values, struct sk_arena *arena, struct sk_err *err)
{
	char what[96];

	if (!json_object_is_type(body, json_type_object))
		return sk_fail(err, SK_EINVAL, "invalid type: %s, expected a map", describe(body, what));
	for (size_t i = 0; i < fields_len; i++) {
		const struct sk_field *f = &fields[i];
		struct sk_field_value *value = (struct sk_field_value *)((char *)ret_values + f->offset);
		struct json_object *holder = NULL, *v = NULL;
		struct place at = { f, -1 };
		bool there;
		sk_status st;

		memset(value, 0, sizeof *value);
		if (f->knows && !(f->knows & dialect))
			continue;
		st = find_holder(f, body, &holder, err);
		if (st < 0)
			return st;
		if (holder && sk_json_is_duplicate(holder, f->name))
			return sk_fail(err, SK_EINVAL, "%s%sduplicate field `%s`", f->group ? f->group : "",
				       f->group ? ": " : "", f->name);
		there = holder && json_object_object_get_ex(holder, f->name, &v);
		if (!v && f->required)
			return there ? wrong(&at, "type", v, sk_field_type_name(f->type), err)
				     : sk_fail(err, SK_EINVAL, "missing field `%s`", f->name);
		if (!v)
			continue;
		st = types[f->type].read(v, &at, value, arena, err);
		if (st < 0)
			return st;
		value->set = true;
	}
	return SK_OK;
}

/* The number a range was compared with, in digits: a double would round what is over 2^53. */
static void add_measure(struct sk_buf *b, enum sk_field_type type, const struct sk_field_value *v)
{
	if (type == SK_FIELD_U32 || type == SK_FIELD_U64)
		sk_buf_addf(b, "%" PRIu64, v->u);
	else if (type == SK_FIELD_I32)
		sk_buf_addf(b, "%" PRId64, v->i);
	else
		sk_buf_addf(b, "%.15g", types[type].measure(v));
}

/* The row's message with {max} and {n} filled in. */
static sk_status refuse(const struct sk_field *f, double max, const struct sk_field_value *v, struct sk_err *err)
{
	struct sk_buf b = SK_BUF(480);
	sk_status st;

	for (const char *p = f->message; *p;) {
		if (!strncmp(p, "{max}", 5)) {
			sk_buf_addf(&b, "%.0f", max);
			p += 5;
		} else if (!strncmp(p, "{n}", 3)) {
			add_measure(&b, f->type, v);
			p += 3;
		} else {
			sk_buf_addc(&b, *p++);
		}
	}
	st = sk_fail(err, SK_EINVAL, "%s", sk_buf_str(&b));
	sk_buf_fini(&b);
	return st;
}

sk_status sk_schema_check(const struct sk_field *fields, size_t fields_len, const void *values,
			  const uint64_t limits[SK_LIMITS], bool early, struct sk_err *err)
{
	for (size_t i = 0; i < fields_len; i++) {
		const struct sk_field *f = &fields[i];
		const struct sk_field_value *v =
			(const struct sk_field_value *)((const char *)values + f->offset);
		double n, max = f->limit ? (double)limits[f->limit] : f->max;

		if (v->set && (f->range & SK_RANGE_UNSET) && !limits[f->limit] && !early)
			return refuse(f, max, v, err);
		if (!v->set || (f->range & SK_RANGE_ANY) || !!(f->range & SK_RANGE_EARLY) != early)
			continue;
		n = types[f->type].measure(v);
		if (n < f->min || n > max || ((f->range & SK_RANGE_OPEN_MIN) && n == f->min) ||
		    ((f->range & SK_RANGE_OPEN_MAX) && n == max))
			return refuse(f, max, v, err);
	}
	return SK_OK;
}
