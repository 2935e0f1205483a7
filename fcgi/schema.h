/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Request fields as tables: where a field is found, its type, its range, where its value goes, what is said when it is
 * wrong, and what the manual says about it. One table reads, validates and documents an API.
 *
 * Reading and validating are two passes, because a permit (429) is asked for between them: types are faults of the body
 * (422 "Failed to deserialize ..."), ranges are TGI's "Input validation error: ..." and are checked in the order of rows.
 */
#ifndef SK_FCGI_SCHEMA_H
#define SK_FCGI_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/base/arena.h"
#include "engine/base/err.h"
#include "engine/saker.h"

struct json_object;

enum sk_field_type {
	SK_FIELD_STR,
	SK_FIELD_BOOL,
	SK_FIELD_U32,
	SK_FIELD_I32,
	SK_FIELD_U64,
	SK_FIELD_F32,
	SK_FIELD_STRS,          /* a list of strings */
	SK_FIELD_IDS,           /* a list of token ids */
	SK_FIELD_BIAS,          /* a map of token ids, in decimal, to numbers */
	SK_FIELD_ANY,           /* only whether it is there */
	SK_FIELD_JSON,          /* the same, of any type: its reader has a look */
	SK_FIELD_TYPES
};

struct sk_str { const char *s; size_t len; };

/* One field of one request. Strings are lent from the JSON tree. */
struct sk_field_value {
	bool set;               /* false: absent or null */
	union {
		bool yes;
		uint64_t u;
		int64_t i;
		float f;
		struct sk_str str;
		struct { struct sk_str *items; size_t len; } strs;
		struct { int32_t *items; size_t len; } ids;
		struct { struct sk_logit_bias *items; size_t len; } bias;
	};
};

/* Upper ends of ranges that settings decide; the caller gives their values. */
enum sk_limit { SK_LIMIT_NONE, SK_LIMIT_BEST_OF, SK_LIMIT_SEED, SK_LIMIT_STOP, SK_LIMIT_TOP_N, SK_LIMIT_INPUT, SK_LIMITS };

/*
 * What a field's number is compared with: the value itself, bytes of a string, items of a list, 0 or 1 of a bool, the largest
 * number of a map without its sign.
 */
enum sk_range_flags {
	SK_RANGE_OPEN_MIN = 1,  /* min itself is refused */
	SK_RANGE_OPEN_MAX = 2,
	SK_RANGE_ANY = 4,       /* no range at all */
	SK_RANGE_EARLY = 8,     /* checked before permits are taken */
	SK_RANGE_UNSET = 16,    /* refused at all where the row's limit is 0 */
};

/* In place of a default: the dialect's `new_tokens`. */
#define SK_FALLBACK_NEW_TOKENS "{new_tokens}"

struct sk_field {
	const char *group;      /* the member of the body that holds it, or NULL: the body itself */
	const char *name;
	enum sk_field_type type;
	bool required;
	size_t offset;          /* of its struct sk_field_value */
	unsigned range;         /* enum sk_range_flags */
	double min, max;
	enum sk_limit limit;    /* takes the place of max */
	const char *message;    /* out of range; "{max}" and "{n}" are replaced */
	const char *fallback;   /* default, as JSON or in words: for the manual; the reader of the values applies it */
	const char *doc;
	unsigned knows;         /* bits of the dialects that have it; 0: all. Where one has it not, it is an unknown member */
};

/*
 * Read a parsed body (NULL: a literal null) into the struct that the offsets point into; unknown members are ignored,
 * null is "unset". Lists are taken from the arena. `dialect`: one bit of the rows' `knows`.
 *   SK_EINVAL  a wrong type: "parameters.top_k: invalid type: string \"x\", expected i32"
 *   SK_ENOMEM
 */
sk_status sk_schema_read(const struct sk_field *fields, size_t fields_len, struct json_object *body, unsigned dialect,
			 void *ret_values, struct sk_arena *arena, struct sk_err *err);

/*
 * Check ranges in the order of rows: only the early rows, or only the others. SK_EINVAL with the row's message.
 */
sk_status sk_schema_check(const struct sk_field *fields, size_t fields_len, const void *values,
			  const uint64_t limits[SK_LIMITS], bool early, struct sk_err *err);

/* "u32", "string" ...: the word in messages and manuals. */
const char *sk_field_type_name(enum sk_field_type type);

#endif
