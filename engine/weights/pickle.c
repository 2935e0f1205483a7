/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pickle machine (Python's Lib/pickletools.py describes each instruction): a stack of values, a memo, and marks.
 *
 * Work and memory are linear in the pickle: an instruction makes at most one value, and takes from the stack what other
 * instructions have put there. Lists and dictionaries may hold themselves, which no code here follows.
 */
#include "engine/weights/pickle.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	VALUES_MAX = 1 << 21,
	STACK_MAX = 1 << 18,
	MEMO_MAX = 1 << 21,
	MARKS_MAX = 256,
	PICKLE_BYTES_MAX = 64 << 20,
	PROTOCOL_MAX = 5,
	NAME_MAX_BYTES = 255,           /* of a module or what is in it */
};
#define UNSET UINT32_MAX                /* a number of the memo that was not given */

/* ---- what torch's pickles name -------------------------------------------------------------------------------- */

static const struct sk_torch_type types[] = {
	{ "torch.float32", "FloatStorage", 4, SK_F32 }, { "torch.float16", "HalfStorage", 2, SK_F16 },
	{ "torch.bfloat16", "BFloat16Storage", 2, SK_BF16 }, { "torch.float64", "DoubleStorage", 8, SK_DTYPES },
	{ "torch.int64", "LongStorage", 8, SK_DTYPES }, { "torch.int32", "IntStorage", 4, SK_DTYPES },
	{ "torch.int16", "ShortStorage", 2, SK_DTYPES }, { "torch.int8", "CharStorage", 1, SK_DTYPES },
	{ "torch.uint8", "ByteStorage", 1, SK_DTYPES }, { "torch.bool", "BoolStorage", 1, SK_DTYPES },
	{ "torch.complex64", "ComplexFloatStorage", 8, SK_DTYPES }, { "torch.complex128", "ComplexDoubleStorage", 16, SK_DTYPES },
	{ "torch.uint16", NULL, 2, SK_DTYPES }, { "torch.uint32", NULL, 4, SK_DTYPES }, { "torch.uint64", NULL, 8, SK_DTYPES },
	{ "torch.float8_e4m3fn", NULL, 1, SK_DTYPES }, { "torch.float8_e5m2", NULL, 1, SK_DTYPES },
	{ "torch.float8_e4m3fnuz", NULL, 1, SK_DTYPES }, { "torch.float8_e5m2fnuz", NULL, 1, SK_DTYPES },
	{ "torch.float8_e8m0fnu", NULL, 1, SK_DTYPES },
};
enum { TYPES = sizeof(types) / sizeof(types[0]) };

struct machine;

/* A name, and what calling it with `args` makes of it; call NULL: it may be named, but not called. */
struct sk_torch_name {
	const char *module, *name;
	sk_status (*call)(struct machine *m, const struct sk_torch_name *n, const struct sk_value *args, uint32_t *ret_value);
};

static sk_status make_dict(struct machine *, const struct sk_torch_name *, const struct sk_value *, uint32_t *);
static sk_status make_tensor(struct machine *, const struct sk_torch_name *, const struct sk_value *, uint32_t *);
static sk_status make_typed_tensor(struct machine *, const struct sk_torch_name *, const struct sk_value *, uint32_t *);
static sk_status take_first(struct machine *, const struct sk_torch_name *, const struct sk_value *, uint32_t *);

static const struct sk_torch_name names[] = {
	{ "collections", "OrderedDict", make_dict },
	{ "torch._utils", "_rebuild_tensor", make_tensor },             /* storage, offset, size, stride */
	{ "torch._utils", "_rebuild_tensor_v2", make_tensor },          /* ..., requires_grad, hooks[, metadata] */
	{ "torch._utils", "_rebuild_tensor_v3", make_typed_tensor },    /* ..., dtype[, metadata] */
	{ "torch._utils", "_rebuild_parameter", take_first },           /* data, requires_grad, hooks */
	{ "torch._utils", "_rebuild_parameter_with_state", take_first },
	{ "torch", "Size", take_first },
	{ "torch", "UntypedStorage", NULL }, { "torch.storage", "UntypedStorage", NULL },
};
enum { NAMES = sizeof(names) / sizeof(names[0]) };

/* ---- the machine ---------------------------------------------------------------------------------------------- */

struct machine {
	struct sk_pickle *p;
	const unsigned char *at, *end, *begin;
	uint32_t *stack, *memo;
	size_t stack_len, stack_cap, memo_len, memo_cap;
	size_t marks[MARKS_MAX], marks_len;
	bool stopped, cut;              /* cut: end is the limit, not that of the bytes */
	const char *path;
	struct sk_err *err;
};

static sk_status refuse(const struct machine *m, sk_status status, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static sk_status refuse(const struct machine *m, sk_status status, const char *fmt, ...)
{
	char words[320];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(words, sizeof(words), fmt, ap);
	va_end(ap);
	return sk_fail(m->err, status, "%s: %s, at byte %zu of the pickle", m->path, words, (size_t)(m->at - m->begin));
}

static const char *const kind_words[] = {
	[SK_VALUE_NONE] = "None", [SK_VALUE_BOOL] = "a bool", [SK_VALUE_INT] = "a number", [SK_VALUE_FLOAT] = "a number",
	[SK_VALUE_LONG] = "a long number", [SK_VALUE_STR] = "a string", [SK_VALUE_TUPLE] = "a tuple", [SK_VALUE_LIST] = "a list",
	[SK_VALUE_DICT] = "a dictionary", [SK_VALUE_GLOBAL] = "a name", [SK_VALUE_STORAGE] = "a storage",
	[SK_VALUE_TENSOR] = "a tensor",
};

/* The next n bytes. */
static sk_status take(struct machine *m, uint64_t n, const unsigned char **ret_p)
{
	uint64_t left = (uint64_t)(m->end - m->at);

	if (n > left && m->cut)
		return refuse(m, SK_ETOOBIG, "it has more than %d bytes", PICKLE_BYTES_MAX);
	if (n > left)
		return refuse(m, SK_EFORMAT, "truncated: %" PRIu64 " bytes are needed, %" PRIu64 " are left", n, left);
	*ret_p = m->at;
	m->at += n;
	return SK_OK;
}

static sk_status take_number(struct machine *m, int bytes, uint64_t *ret_v)
{
	const unsigned char *p = m->at;
	uint64_t v = 0;
	sk_status st = take(m, (uint64_t)bytes, &p);

	if (st < 0)
		return st;
	for (int i = bytes - 1; i >= 0; i--)
		v = v << 8 | p[i];
	*ret_v = v;
	return SK_OK;
}

static sk_status push_place(struct machine *m, uint32_t place)
{
	if (m->stack_len >= STACK_MAX)
		return refuse(m, SK_ETOOBIG, "more than %d values on the stack", STACK_MAX);
	if (sk_weights_grow((void **)&m->stack, sizeof(*m->stack), m->stack_len, &m->stack_cap) < 0)
		return refuse(m, SK_ENOMEM, "out of memory");
	m->stack[m->stack_len++] = place;
	return SK_OK;
}

static sk_status make(struct machine *m, struct sk_value v, uint32_t *ret_place)
{
	struct sk_pickle *p = m->p;

	if (p->values_len >= VALUES_MAX)
		return refuse(m, SK_ETOOBIG, "more than %d values", VALUES_MAX);
	if (sk_weights_grow((void **)&p->values, sizeof(*p->values), p->values_len, &p->values_cap) < 0)
		return refuse(m, SK_ENOMEM, "out of memory");
	p->values[p->values_len] = v;
	*ret_place = (uint32_t)p->values_len++;
	return SK_OK;
}

static sk_status push(struct machine *m, struct sk_value v)
{
	uint32_t place = 0;
	sk_status st = make(m, v, &place);

	return st < 0 ? st : push_place(m, place);
}

/* What is above the last mark: its place in the stack, and how many. A mark hides what is below it. */
static size_t floor_of(const struct machine *m)
{
	return m->marks_len ? m->marks[m->marks_len - 1] : 0;
}

static sk_status pop(struct machine *m, uint32_t *ret_place)
{
	if (m->stack_len <= floor_of(m))
		return refuse(m, SK_EFORMAT, "the stack is empty");
	*ret_place = m->stack[--m->stack_len];
	return SK_OK;
}

static sk_status pop_mark(struct machine *m, size_t *ret_from)
{
	if (!m->marks_len)
		return refuse(m, SK_EFORMAT, "there is no mark");
	*ret_from = m->marks[--m->marks_len];
	return SK_OK;
}

static struct sk_value *value(const struct machine *m, uint32_t place)
{
	return &m->p->values[place];
}

/* ---- containers ----------------------------------------------------------------------------------------------- */

static sk_status add_item(struct machine *m, struct sk_value *v, uint32_t item)
{
	size_t cap = v->items_cap;

	if (sk_weights_grow((void **)&v->items, sizeof(*v->items), v->items_len, &cap) < 0)
		return refuse(m, SK_ENOMEM, "out of memory");
	v->items_cap = (uint32_t)cap;
	v->items[v->items_len++] = item;
	return SK_OK;
}

/* The stack from `from` on becomes the items of the value below: APPENDS, SETITEMS. */
static sk_status add_stack(struct machine *m, size_t from, enum sk_value_kind kind)
{
	struct sk_value *v;
	sk_status st = SK_OK;

	if (from <= floor_of(m))
		return refuse(m, SK_EFORMAT, "the stack is empty");
	v = value(m, m->stack[from - 1]);
	if (v->kind != kind)
		return refuse(m, SK_ENOTSUP, "items for %s, which is no %s", kind_words[v->kind],
			      kind == SK_VALUE_LIST ? "list" : "dictionary");
	if (kind == SK_VALUE_DICT && (m->stack_len - from) % 2)
		return refuse(m, SK_EFORMAT, "a key without a value");
	for (size_t i = from; i < m->stack_len && st >= 0; i++)
		st = add_item(m, v, m->stack[i]);
	m->stack_len = from;
	return st;
}

/* The stack from `from` on as one value. It never changes: its items are the arena's. */
static sk_status push_tuple(struct machine *m, size_t from)
{
	struct sk_value v = { .kind = SK_VALUE_TUPLE };

	if (from < floor_of(m))
		return refuse(m, SK_EFORMAT, "the stack is empty");
	v.items_len = (uint32_t)(m->stack_len - from);
	if (v.items_len) {
		v.items = sk_arena_take(&m->p->arena, v.items_len * sizeof(*v.items));
		if (!v.items)
			return refuse(m, SK_ENOMEM, "out of memory");
		memcpy(v.items, m->stack + from, v.items_len * sizeof(*v.items));
	}
	m->stack_len = from;
	return push(m, v);
}

/* ---- calls ---------------------------------------------------------------------------------------------------- */

static sk_status wrong_args(const struct machine *m, const struct sk_torch_name *n)
{
	return refuse(m, SK_EFORMAT, "wrong arguments for %s.%s", n->module, n->name);
}

static const struct sk_value *arg(const struct machine *m, const struct sk_value *args, uint32_t i)
{
	return i < args->items_len ? value(m, args->items[i]) : NULL;
}

/* OrderedDict(), or OrderedDict([[key, value], ...]) as Python 2 wrote it. */
static sk_status make_dict(struct machine *m, const struct sk_torch_name *n, const struct sk_value *args, uint32_t *ret_value)
{
	struct sk_value dict = { .kind = SK_VALUE_DICT };
	const struct sk_value *list = arg(m, args, 0);
	sk_status st = SK_OK;

	if (args->items_len > 1 || (list && list->kind != SK_VALUE_LIST))
		return wrong_args(m, n);
	for (uint32_t i = 0; list && i < list->items_len && st >= 0; i++) {
		const struct sk_value *pair = value(m, list->items[i]);

		if ((pair->kind != SK_VALUE_LIST && pair->kind != SK_VALUE_TUPLE) || pair->items_len != 2) {
			st = wrong_args(m, n);
			break;
		}
		st = add_item(m, &dict, pair->items[0]);
		if (st >= 0)
			st = add_item(m, &dict, pair->items[1]);
	}
	if (st >= 0)
		st = make(m, dict, ret_value);
	if (st < 0)
		free(dict.items);
	return st;
}

static sk_status take_first(struct machine *m, const struct sk_torch_name *n, const struct sk_value *args, uint32_t *ret_value)
{
	bool size = !strcmp(n->name, "Size");

	if (!args->items_len || value(m, args->items[0])->kind != (size ? SK_VALUE_TUPLE : SK_VALUE_TENSOR))
		return wrong_args(m, n);
	*ret_value = args->items[0];
	return SK_OK;
}

/* A tuple of counts. */
static bool take_counts(const struct machine *m, const struct sk_value *v, int64_t out[SK_PICKLE_DIMS_MAX])
{
	if (!v || v->kind != SK_VALUE_TUPLE || v->items_len > SK_PICKLE_DIMS_MAX)
		return false;
	for (uint32_t i = 0; i < v->items_len; i++) {
		const struct sk_value *item = value(m, v->items[i]);

		if (item->kind != SK_VALUE_INT || item->i < 0)
			return false;
		out[i] = item->i;
	}
	return true;
}

static sk_status rebuild(struct machine *m, const struct sk_torch_name *n, const struct sk_value *args,
			 const struct sk_torch_type *type, uint32_t *ret_value)
{
	const struct sk_value *storage = arg(m, args, 0), *offset = arg(m, args, 1), *size = arg(m, args, 2),
			      *stride = arg(m, args, 3);
	struct sk_torch_tensor *t;

	if (size && size->kind == SK_VALUE_TUPLE && size->items_len > SK_PICKLE_DIMS_MAX)
		return refuse(m, SK_ETOOBIG, "a tensor of %" PRIu32 " dimensions, the limit is %d", size->items_len,
			      SK_PICKLE_DIMS_MAX);
	if (!storage || storage->kind != SK_VALUE_STORAGE || offset->kind != SK_VALUE_INT || offset->i < 0)
		return wrong_args(m, n);
	t = sk_arena_take(&m->p->arena, sizeof(*t));
	if (!t)
		return refuse(m, SK_ENOMEM, "out of memory");
	if (!take_counts(m, size, t->size) || !take_counts(m, stride, t->stride) || size->items_len != stride->items_len)
		return wrong_args(m, n);
	t->storage = *storage->storage;
	t->type = type ? type : t->storage.type;
	if (!t->type)
		return wrong_args(m, n);
	t->offset = offset->i;
	t->dims = (int32_t)size->items_len;
	return make(m, (struct sk_value){ .kind = SK_VALUE_TENSOR, .tensor = t }, ret_value);
}

static sk_status make_tensor(struct machine *m, const struct sk_torch_name *n, const struct sk_value *args, uint32_t *ret_value)
{
	return args->items_len < 4 ? wrong_args(m, n) : rebuild(m, n, args, NULL, ret_value);
}

static sk_status make_typed_tensor(struct machine *m, const struct sk_torch_name *n, const struct sk_value *args,
				   uint32_t *ret_value)
{
	const struct sk_value *dtype = arg(m, args, 6);

	if (!dtype || dtype->kind != SK_VALUE_GLOBAL || !dtype->type || dtype->is_storage)
		return wrong_args(m, n);
	return rebuild(m, n, args, dtype->type, ret_value);
}

/* ---- instructions --------------------------------------------------------------------------------------------- */

static bool is_text(const char *s, size_t len, const char *text)
{
	return len == strlen(text) && !memcmp(s, text, len);
}

/* What a name stands for; false: it is in no table. */
static bool find_name(const char *module, size_t module_len, const char *name, size_t name_len, struct sk_value *ret_v)
{
	struct sk_value v = { .kind = SK_VALUE_GLOBAL };

	for (int i = 0; i < NAMES && !v.name; i++)
		if (is_text(module, module_len, names[i].module) && is_text(name, name_len, names[i].name))
			v.name = &names[i];
	for (int i = 0; i < TYPES && !v.type && is_text(module, module_len, "torch"); i++) {
		v.is_storage = types[i].storage && is_text(name, name_len, types[i].storage);
		if (v.is_storage || is_text(name, name_len, types[i].name + strlen("torch.")))
			v.type = &types[i];
	}
	*ret_v = v;
	return v.name || v.type;
}

static sk_status push_name(struct machine *m, const char *module, size_t module_len, const char *name, size_t name_len)
{
	struct sk_value v;
	char a[SK_SHOWN], b[SK_SHOWN];

	if (find_name(module, module_len, name, name_len, &v))
		return push(m, v);
	return refuse(m, SK_ENOTSUP, "it names %s.%s: only tensors and what holds them are read, nothing else is loaded or run",
		      sk_weights_show(a, module, module_len), sk_weights_show(b, name, name_len));
}

/* A line of text, without its end. */
static sk_status take_line(struct machine *m, const char **ret_s, size_t *ret_len)
{
	size_t left = (size_t)(m->end - m->at), most = left < NAME_MAX_BYTES + 1 ? left : NAME_MAX_BYTES + 1;
	const unsigned char *end = memchr(m->at, '\n', most);

	if (!end)
		return refuse(m, SK_EFORMAT, "a name that does not end within %d bytes", NAME_MAX_BYTES);
	*ret_s = (const char *)m->at;
	*ret_len = (size_t)(end - m->at);
	m->at = end + 1;
	return SK_OK;
}

static sk_status op_global(struct machine *m)
{
	const char *module = "", *name = "";
	size_t module_len = 0, name_len = 0;
	sk_status st = take_line(m, &module, &module_len);

	if (st >= 0)
		st = take_line(m, &name, &name_len);
	return st < 0 ? st : push_name(m, module, module_len, name, name_len);
}

static sk_status op_stack_global(struct machine *m)
{
	uint32_t name = 0, module = 0;
	sk_status st = pop(m, &name);

	if (st >= 0)
		st = pop(m, &module);
	if (st < 0)
		return st;
	if (value(m, name)->kind != SK_VALUE_STR || value(m, module)->kind != SK_VALUE_STR)
		return refuse(m, SK_EFORMAT, "a name that is no string");
	return push_name(m, value(m, module)->s, value(m, module)->len, value(m, name)->s, value(m, name)->len);
}

static sk_status op_reduce(struct machine *m)
{
	uint32_t args = 0, callable = 0, made = 0;
	const struct sk_value *f;
	sk_status st = pop(m, &args);

	if (st >= 0)
		st = pop(m, &callable);
	if (st < 0)
		return st;
	f = value(m, callable);
	if (f->kind != SK_VALUE_GLOBAL || value(m, args)->kind != SK_VALUE_TUPLE)
		return refuse(m, SK_EFORMAT, "a call of %s with %s", kind_words[f->kind], kind_words[value(m, args)->kind]);
	if (!f->name || !f->name->call)
		return refuse(m, SK_ENOTSUP, "a call of %s", f->name ? f->name->name : f->is_storage ? f->type->storage : f->type->name);
	/* A copy: making a value may move the others. Its items stay where they are. */
	st = f->name->call(m, f->name, &(struct sk_value){ .kind = SK_VALUE_TUPLE, .items = value(m, args)->items,
							   .items_len = value(m, args)->items_len }, &made);
	return st < 0 ? st : push_place(m, made);
}

/* ('storage', torch.FloatStorage, key, device, number of elements[, a view, which torch has not written since 0.4]) */
static sk_status op_binpersid(struct machine *m)
{
	uint32_t place = 0;
	const struct sk_value *v, *what, *type, *key, *numel;
	struct sk_torch_storage *s;
	sk_status st = pop(m, &place);

	if (st < 0)
		return st;
	v = value(m, place);
	if (v->kind != SK_VALUE_TUPLE || v->items_len < 5 || v->items_len > 6)
		return refuse(m, SK_EFORMAT, "a storage that is %s, not a tuple of five", kind_words[v->kind]);
	what = arg(m, v, 0);
	type = arg(m, v, 1);
	key = arg(m, v, 2);
	numel = arg(m, v, 4);
	if (what->kind != SK_VALUE_STR || !is_text(what->s, what->len, "storage") || type->kind != SK_VALUE_GLOBAL ||
	    key->kind != SK_VALUE_STR || numel->kind != SK_VALUE_INT || numel->i < 0)
		return refuse(m, SK_EFORMAT, "a storage that is not described as one");
	if (v->items_len == 6 && arg(m, v, 5)->kind != SK_VALUE_NONE)
		return refuse(m, SK_ENOTSUP, "a storage that is a view of another");
	if (type->type ? !type->is_storage : type->name->call != NULL)
		return refuse(m, SK_EFORMAT, "a storage whose type is none");
	s = sk_arena_take(&m->p->arena, sizeof(*s));
	if (!s)
		return refuse(m, SK_ENOMEM, "out of memory");
	*s = (struct sk_torch_storage){ .type = type->type, .key = key->s, .key_len = key->len, .numel = (uint64_t)numel->i };
	return push(m, (struct sk_value){ .kind = SK_VALUE_STORAGE, .storage = s });
}

/* An object's state: of a dictionary only _metadata, versions of modules, which say nothing about tensors. */
static sk_status op_build(struct machine *m)
{
	uint32_t state = 0;
	sk_status st = pop(m, &state);
	enum sk_value_kind kind;

	if (st < 0)
		return st;
	if (m->stack_len <= floor_of(m))
		return refuse(m, SK_EFORMAT, "the stack is empty");
	kind = value(m, m->stack[m->stack_len - 1])->kind;
	if (kind != SK_VALUE_DICT && kind != SK_VALUE_TENSOR)
		return refuse(m, SK_ENOTSUP, "a state for %s", kind_words[kind]);
	return SK_OK;
}

static sk_status op_proto(struct machine *m)
{
	uint64_t v = 0;
	sk_status st = take_number(m, 1, &v);

	return st >= 0 && v > PROTOCOL_MAX ? refuse(m, SK_ENOTSUP, "protocol %" PRIu64 ", the last known is %d", v, PROTOCOL_MAX) : st;
}

static sk_status op_frame(struct machine *m) { uint64_t v; return take_number(m, 8, &v); }
static sk_status op_stop(struct machine *m) { m->stopped = true; return SK_OK; }

static sk_status op_mark(struct machine *m)
{
	if (m->marks_len >= MARKS_MAX)
		return refuse(m, SK_ETOOBIG, "nested deeper than %d", MARKS_MAX);
	m->marks[m->marks_len++] = m->stack_len;
	return SK_OK;
}

static sk_status push_int(struct machine *m, int64_t i) { return push(m, (struct sk_value){ .kind = SK_VALUE_INT, .i = i }); }
static sk_status push_bool(struct machine *m, bool b) { return push(m, (struct sk_value){ .kind = SK_VALUE_BOOL, .i = b }); }
static sk_status op_none(struct machine *m) { return push(m, (struct sk_value){ .kind = SK_VALUE_NONE }); }
static sk_status op_true(struct machine *m) { return push_bool(m, true); }
static sk_status op_false(struct machine *m) { return push_bool(m, false); }

static sk_status op_int(struct machine *m, int bytes)
{
	uint64_t v = 0;
	sk_status st = take_number(m, bytes, &v);

	return st < 0 ? st : push_int(m, bytes == 4 ? (int32_t)(uint32_t)v : (int64_t)v);
}

static sk_status op_binint(struct machine *m) { return op_int(m, 4); }
static sk_status op_binint1(struct machine *m) { return op_int(m, 1); }
static sk_status op_binint2(struct machine *m) { return op_int(m, 2); }

static sk_status op_long1(struct machine *m)
{
	const unsigned char *p = m->at;
	uint64_t n = 0, v;
	sk_status st = take_number(m, 1, &n);

	if (st >= 0)
		st = take(m, n, &p);
	if (st < 0)
		return st;
	if (n > 8)
		return push(m, (struct sk_value){ .kind = SK_VALUE_LONG, .s = (const char *)p, .len = (size_t)n });
	v = n && p[n - 1] & 0x80 ? UINT64_MAX : 0;
	for (uint64_t i = n; i > 0; i--)
		v = v << 8 | p[i - 1];
	return push_int(m, (int64_t)v);
}

static sk_status op_binfloat(struct machine *m)
{
	const unsigned char *p = m->at;
	sk_status st = take(m, 8, &p);

	return st < 0 ? st : push(m, (struct sk_value){ .kind = SK_VALUE_FLOAT });     /* nobody asks for its value */
}

static sk_status op_string(struct machine *m, int len_bytes)
{
	const unsigned char *p = m->at;
	uint64_t n = 0;
	sk_status st = take_number(m, len_bytes, &n);

	if (st >= 0)
		st = take(m, n, &p);
	return st < 0 ? st : push(m, (struct sk_value){ .kind = SK_VALUE_STR, .s = (const char *)p, .len = (size_t)n });
}

static sk_status op_binunicode(struct machine *m) { return op_string(m, 4); }
static sk_status op_short_binunicode(struct machine *m) { return op_string(m, 1); }

static sk_status op_empty_list(struct machine *m) { return push(m, (struct sk_value){ .kind = SK_VALUE_LIST }); }
static sk_status op_empty_dict(struct machine *m) { return push(m, (struct sk_value){ .kind = SK_VALUE_DICT }); }
static sk_status op_empty_tuple(struct machine *m) { return push_tuple(m, m->stack_len); }

static sk_status push_tuple_of(struct machine *m, size_t n)
{
	return m->stack_len < n ? refuse(m, SK_EFORMAT, "the stack is empty") : push_tuple(m, m->stack_len - n);
}

static sk_status op_tuple1(struct machine *m) { return push_tuple_of(m, 1); }
static sk_status op_tuple2(struct machine *m) { return push_tuple_of(m, 2); }
static sk_status op_tuple3(struct machine *m) { return push_tuple_of(m, 3); }

static sk_status op_tuple(struct machine *m)
{
	size_t from = 0;
	sk_status st = pop_mark(m, &from);

	return st < 0 ? st : push_tuple(m, from);
}

static sk_status add_items(struct machine *m, enum sk_value_kind kind)
{
	size_t from = 0;
	sk_status st = pop_mark(m, &from);

	return st < 0 ? st : add_stack(m, from, kind);
}

static sk_status op_appends(struct machine *m) { return add_items(m, SK_VALUE_LIST); }
static sk_status op_setitems(struct machine *m) { return add_items(m, SK_VALUE_DICT); }

static sk_status add_some(struct machine *m, size_t n, enum sk_value_kind kind)
{
	return m->stack_len < n ? refuse(m, SK_EFORMAT, "the stack is empty") : add_stack(m, m->stack_len - n, kind);
}

static sk_status op_append(struct machine *m) { return add_some(m, 1, SK_VALUE_LIST); }
static sk_status op_setitem(struct machine *m) { return add_some(m, 2, SK_VALUE_DICT); }

/* ---- memo ----------------------------------------------------------------------------------------------------- */

static sk_status memo_put(struct machine *m, uint64_t i)
{
	if (m->stack_len <= floor_of(m))
		return refuse(m, SK_EFORMAT, "the stack is empty");
	if (i >= MEMO_MAX)
		return refuse(m, SK_ETOOBIG, "number %" PRIu64 " of the memo, the limit is %d", i, MEMO_MAX);
	while (m->memo_len <= i) {
		if (sk_weights_grow((void **)&m->memo, sizeof(*m->memo), m->memo_len, &m->memo_cap) < 0)
			return refuse(m, SK_ENOMEM, "out of memory");
		m->memo[m->memo_len++] = UNSET;
	}
	m->memo[i] = m->stack[m->stack_len - 1];
	return SK_OK;
}

static sk_status op_put(struct machine *m, int bytes)
{
	uint64_t i = 0;
	sk_status st = take_number(m, bytes, &i);

	return st < 0 ? st : memo_put(m, i);
}

static sk_status op_get(struct machine *m, int bytes)
{
	uint64_t i = 0;
	sk_status st = take_number(m, bytes, &i);

	if (st < 0)
		return st;
	if (i >= m->memo_len || m->memo[i] == UNSET)
		return refuse(m, SK_EFORMAT, "number %" PRIu64 " of the memo, where nothing is", i);
	return push_place(m, m->memo[i]);
}

static sk_status op_binput(struct machine *m) { return op_put(m, 1); }
static sk_status op_long_binput(struct machine *m) { return op_put(m, 4); }
static sk_status op_memoize(struct machine *m) { return memo_put(m, m->memo_len); }
static sk_status op_binget(struct machine *m) { return op_get(m, 1); }
static sk_status op_long_binget(struct machine *m) { return op_get(m, 4); }

/* ---- running -------------------------------------------------------------------------------------------------- */

/* All instructions of pickle by number; run NULL: refused by its name. */
static const struct { const char *name; sk_status (*run)(struct machine *m); } ops[256] = {
	['('] = { "MARK", op_mark }, ['.'] = { "STOP", op_stop }, ['0'] = { "POP", NULL }, ['1'] = { "POP_MARK", NULL },
	['2'] = { "DUP", NULL }, ['F'] = { "FLOAT", NULL }, ['I'] = { "INT", NULL }, ['J'] = { "BININT", op_binint },
	['K'] = { "BININT1", op_binint1 }, ['L'] = { "LONG", NULL }, ['M'] = { "BININT2", op_binint2 }, ['N'] = { "NONE", op_none },
	['P'] = { "PERSID", NULL }, ['Q'] = { "BINPERSID", op_binpersid }, ['R'] = { "REDUCE", op_reduce },
	['S'] = { "STRING", NULL }, ['T'] = { "BINSTRING", op_binunicode }, ['U'] = { "SHORT_BINSTRING", op_short_binunicode },
	['V'] = { "UNICODE", NULL }, ['X'] = { "BINUNICODE", op_binunicode }, ['a'] = { "APPEND", op_append },
	['b'] = { "BUILD", op_build }, ['c'] = { "GLOBAL", op_global }, ['d'] = { "DICT", NULL }, ['}'] = { "EMPTY_DICT", op_empty_dict },
	['e'] = { "APPENDS", op_appends }, ['g'] = { "GET", NULL }, ['h'] = { "BINGET", op_binget }, ['i'] = { "INST", NULL },
	['j'] = { "LONG_BINGET", op_long_binget }, ['l'] = { "LIST", NULL }, [']'] = { "EMPTY_LIST", op_empty_list },
	['o'] = { "OBJ", NULL }, ['p'] = { "PUT", NULL }, ['q'] = { "BINPUT", op_binput }, ['r'] = { "LONG_BINPUT", op_long_binput },
	['s'] = { "SETITEM", op_setitem }, ['t'] = { "TUPLE", op_tuple }, [')'] = { "EMPTY_TUPLE", op_empty_tuple },
	['u'] = { "SETITEMS", op_setitems }, ['G'] = { "BINFLOAT", op_binfloat }, ['B'] = { "BINBYTES", NULL },
	['C'] = { "SHORT_BINBYTES", NULL },
	[0x80] = { "PROTO", op_proto }, [0x81] = { "NEWOBJ", NULL }, [0x82] = { "EXT1", NULL }, [0x83] = { "EXT2", NULL },
	[0x84] = { "EXT4", NULL }, [0x85] = { "TUPLE1", op_tuple1 }, [0x86] = { "TUPLE2", op_tuple2 }, [0x87] = { "TUPLE3", op_tuple3 },
	[0x88] = { "NEWTRUE", op_true }, [0x89] = { "NEWFALSE", op_false }, [0x8a] = { "LONG1", op_long1 }, [0x8b] = { "LONG4", NULL },
	[0x8c] = { "SHORT_BINUNICODE", op_short_binunicode }, [0x8d] = { "BINUNICODE8", NULL }, [0x8e] = { "BINBYTES8", NULL },
	[0x8f] = { "EMPTY_SET", NULL }, [0x90] = { "ADDITEMS", NULL }, [0x91] = { "FROZENSET", NULL }, [0x92] = { "NEWOBJ_EX", NULL },
	[0x93] = { "STACK_GLOBAL", op_stack_global }, [0x94] = { "MEMOIZE", op_memoize }, [0x95] = { "FRAME", op_frame },
	[0x96] = { "BYTEARRAY8", NULL }, [0x97] = { "NEXT_BUFFER", NULL }, [0x98] = { "READONLY_BUFFER", NULL },
};

static sk_status step(struct machine *m)
{
	const unsigned char *op = m->at;
	sk_status st = take(m, 1, &op);

	if (st < 0)
		return st;
	if (ops[*op].run)
		return ops[*op].run(m);
	if (ops[*op].name)
		return refuse(m, SK_ENOTSUP, "instruction %s, which dictionaries of tensors do not need", ops[*op].name);
	return refuse(m, SK_EFORMAT, "0x%02x is no instruction", *op);
}

sk_status sk_pickle_init(struct sk_pickle *p, const unsigned char *data, size_t len, const char *path, struct sk_err *err)
{
	struct machine m = { .p = p, .at = data, .begin = data, .end = data + len, .path = path, .err = err };
	sk_status st = SK_OK;

	*p = (struct sk_pickle){ 0 };
	sk_arena_init(&p->arena, 0);
	m.cut = len > PICKLE_BYTES_MAX;
	if (m.cut)
		m.end = data + PICKLE_BYTES_MAX;
	while (st >= 0 && !m.stopped)
		st = step(&m);
	if (st >= 0)
		st = pop(&m, &p->root);
	if (st >= 0 && (m.stack_len || m.marks_len))
		st = refuse(&m, SK_EFORMAT, "%zu values and %zu marks are left at the end", m.stack_len, m.marks_len);
	p->bytes = (size_t)(m.at - data);
	free(m.stack);
	free(m.memo);
	return st;
}

void sk_pickle_fini(struct sk_pickle *p)
{
	for (size_t i = 0; i < p->values_len; i++)
		if (p->values[i].kind == SK_VALUE_LIST || p->values[i].kind == SK_VALUE_DICT)
			free(p->values[i].items);
	free(p->values);
	sk_arena_fini(&p->arena);
	*p = (struct sk_pickle){ 0 };
}
