/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON bodies, from bytes to checked values. Two promises are held against each other: what the gate lets through json-c
 * can parse, and what it refuses never reaches it.
 */
#include <json-c/json.h>
#include <stdint.h>
#include <stdlib.h>

#include "engine/base/arena.h"
#include "fcgi/api_tgi.h"
#include "fcgi/dialect.h"
#include "fcgi/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* Types that the native API's table has not. */
static const struct sk_field *other_fields(size_t *ret_len)
{
	static const struct sk_field fields[] = {
		{ NULL, "tokens", SK_FIELD_IDS, true, 0, 0, 0, 3, SK_LIMIT_NONE, "`tokens` has at most {max}. Given: {n}", NULL, "" },
		{ NULL, "ids", SK_FIELD_IDS, false, sizeof(struct sk_field_value), 0, 1, 2, SK_LIMIT_NONE, "`ids`: {n}", NULL, "" },
	};

	*ret_len = sizeof fields / sizeof *fields;
	return fields;
}

static const struct sk_field *(*const tables[])(size_t *ret_len) = { sk_tgi_fields, other_fields };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const uint64_t limits[SK_LIMITS] = { [SK_LIMIT_STOP] = 4, [SK_LIMIT_TOP_N] = 5, [SK_LIMIT_INPUT] = 100 };
	struct sk_tgi_values values;
	struct json_object *body = NULL;
	struct sk_arena arena = { 0 };
	struct sk_err err = { 0 };
	sk_status gate = sk_json_check((const char *)data, len, NULL, &err), st;

	st = sk_json_parse((const char *)data, len, &body, &err);
	if (gate < 0 && st != gate)
		abort();
	if (st < 0)
		return 0;
	for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
		size_t fields_len;
		const struct sk_field *fields = tables[i](&fields_len);

		if (sk_schema_read(fields, fields_len, body, SK_KNOWS_SAKER, &values, &arena, &err) < 0)
			continue;
		sk_schema_check(fields, fields_len, &values, limits, true, &err);
		sk_schema_check(fields, fields_len, &values, limits, false, &err);
	}
	json_object_put(body);
	sk_arena_fini(&arena);
	return 0;
}
