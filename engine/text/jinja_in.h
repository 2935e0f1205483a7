/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside the Jinja of this room: values, the tree, the state of a parse or a render, and who does what.
 *
 * Everything lives in an arena and dies with it. Strings are slices that nobody changes, so cutting one copies nothing. A
 * failure leaves by longjmp (sk_j_fail): nothing but arenas and the caller's buffer is held on the way.
 */
#ifndef SK_TEXT_JINJA_IN_H
#define SK_TEXT_JINJA_IN_H

#include <setjmp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/base/arena.h"
#include "engine/base/jpull.h"
#include "engine/text/jinja.h"

#define SK_J_DEPTH_MAX 600              /* nodes inside each other, macros' included; measured under ASan: 500 KiB of stack */
#define SK_J_ARGS_MAX 64

/* ---- values ------------------------------------------------------------------------------------------------- */

enum sk_jkind {
	SK_J_MISSING,                   /* an argument that was not given; no value of a template */
	SK_J_UNDEF, SK_J_NONE, SK_J_BOOL, SK_J_INT, SK_J_BIG, SK_J_FLOAT, SK_J_STR,
	SK_J_LIST, SK_J_TUPLE, SK_J_VIEW, SK_J_GEN, SK_J_RANGE, SK_J_DICT,
	SK_J_NS, SK_J_MACRO, SK_J_FUNC, SK_J_METHOD, SK_J_LOOP, SK_J_CYCLER, SK_J_JOINER,
};

struct sk_jv {
	uint8_t kind;
	bool markup;                    /* a string that `safe` or `escape` gave: added to others, it makes them escaped too */
	uint32_t len;                   /* of a string, in bytes; BIG is its digits */
	union {
		bool b;
		int64_t i;
		double f;
		const char *s;
		struct sk_jlist *list;  /* LIST TUPLE VIEW GEN */
		struct sk_jrange *range;
		struct sk_jdict *dict;  /* DICT NS */
		struct sk_jundef *undef;
		struct sk_jmacro *macro;
		const struct sk_jdef *func;
		struct sk_jmethod *method;
		struct sk_jloop *loop;
		struct sk_jcycler *cycler;
	};
};

struct sk_jlist { struct sk_jv *v; size_t len, cap; const char *what; bool used; };
struct sk_jrange { int64_t start, stop, step; size_t len; };
struct sk_jentry { struct sk_jv k, v; uint64_t hash; };
struct sk_jdict { struct sk_jentry *e; size_t len, cap; uint32_t *index; size_t index_cap; };
struct sk_jundef { const char *hint; const char *of; struct sk_jv name; };      /* of: the type that has no such member */
struct sk_jmethod { struct sk_jv self; const struct sk_jdef *def; };
struct sk_jcycler { struct sk_jlist *items; size_t at; bool used; struct sk_jv sep; };

static inline struct sk_jv sk_jv_none(void) { return (struct sk_jv){ .kind = SK_J_NONE }; }
static inline struct sk_jv sk_jv_bool(bool b) { return (struct sk_jv){ .kind = SK_J_BOOL, .b = b }; }
static inline struct sk_jv sk_jv_int(int64_t i) { return (struct sk_jv){ .kind = SK_J_INT, .i = i }; }
static inline struct sk_jv sk_jv_float(double f) { return (struct sk_jv){ .kind = SK_J_FLOAT, .f = f }; }
static inline struct sk_jv sk_jv_str(const char *s, size_t len) { return (struct sk_jv){ .kind = SK_J_STR, .len = (uint32_t)len, .s = s }; }
static inline struct sk_jv sk_jv_list(struct sk_jlist *l) { return (struct sk_jv){ .kind = SK_J_LIST, .list = l }; }

struct sk_jkwarg { const char *name; uint32_t len; struct sk_jv v; };
struct sk_jargs { size_t pos_len, kw_len; struct sk_jargs *next; struct sk_jv pos[SK_J_ARGS_MAX]; struct sk_jkwarg kw[SK_J_ARGS_MAX]; };

/* ---- the tree ----------------------------------------------------------------------------------------------- */

enum sk_jop {
	SK_JO_NONE, SK_JO_ADD, SK_JO_SUB, SK_JO_MUL, SK_JO_DIV, SK_JO_FLOORDIV, SK_JO_MOD, SK_JO_POW,
	SK_JO_EQ, SK_JO_NE, SK_JO_LT, SK_JO_LE, SK_JO_GT, SK_JO_GE, SK_JO_IN, SK_JO_NOTIN,
	SK_JO_LPAREN, SK_JO_RPAREN, SK_JO_LBRACKET, SK_JO_RBRACKET, SK_JO_LBRACE, SK_JO_RBRACE,
	SK_JO_DOT, SK_JO_COMMA, SK_JO_COLON, SK_JO_PIPE, SK_JO_TILDE, SK_JO_ASSIGN, SK_JO_SEMICOLON,
};

enum sk_jnode_kind {
	SK_JN_CONST, SK_JN_NAME, SK_JN_NSREF, SK_JN_LIST, SK_JN_TUPLE, SK_JN_DICT, SK_JN_COND, SK_JN_OR, SK_JN_AND, SK_JN_NOT,
	SK_JN_COMPARE, SK_JN_BINARY, SK_JN_NEG, SK_JN_POS, SK_JN_CONCAT, SK_JN_ATTR, SK_JN_ITEM, SK_JN_SLICE,
	SK_JN_CALL, SK_JN_FILTER, SK_JN_TEST,
	SK_JN_DATA, SK_JN_PRINT, SK_JN_FOR, SK_JN_IF, SK_JN_MACRO, SK_JN_CALLBLOCK, SK_JN_FILTERBLOCK, SK_JN_SET, SK_JN_SETBLOCK,
	SK_JN_WITH, SK_JN_SCOPE, SK_JN_BREAK, SK_JN_CONTINUE, SK_JN_REFUSED,
	SK_JN_KINDS
};

/* A name of the template, once: pointers compare. */
struct sk_jsym { const char *s; uint32_t len; struct sk_jsym *next; const struct sk_jdef *global; };

/*
 * What a, b, c, body and other are is said where each kind is parsed. args, and the items of lists, are linked by `next`.
 * name: of an argument (a keyword, or NULL), a filter, an attribute.
 */
struct sk_jnode {
	uint8_t kind, op;
	bool flag;
	uint32_t line;
	const struct sk_jsym *name;
	const struct sk_jdef *def;      /* FILTER, TEST; NULL: unknown, an error when it runs */
	struct sk_jnode *next, *a, *b, *c, *args, *body, *other;
	struct sk_jv value;
};

struct sk_jscope;
struct sk_jmacro { const struct sk_jnode *node; struct sk_jscope *scope; const struct sk_jsym *name; };

struct sk_jbind { const struct sk_jsym *name; struct sk_jv v; struct sk_jbind *next; };
struct sk_jscope { struct sk_jbind *binds; struct sk_jscope *outer; };

struct sk_jloop {
	const struct sk_jnode *node;
	struct sk_jscope *scope;        /* where the statement stands */
	struct sk_jlist *items;
	size_t at, depth0;
	struct sk_jv changed;           /* MISSING at first */
};

/* A growing string in an arena. */
struct sk_jsb { char *s; size_t len, cap; };

/* ---- the state ---------------------------------------------------------------------------------------------- */

struct sk_j {
	struct sk_arena *arena;
	jmp_buf leave;
	struct sk_err *err;
	sk_status status;
	uint32_t line;
	int depth;
	/* a render */
	uint64_t steps, steps_max;
	int64_t deadline_us;
	int64_t now;
	size_t output_max;
	struct sk_jsb *out;             /* where statements write now */
	struct sk_jscope *scope;
	const struct sk_jnode *loop_exit;       /* BREAK or CONTINUE on its way */
	char *front;                    /* the end of the string made last, and the room behind it: see sk_j_join() */
	size_t front_room;
	struct sk_jargs *spare;         /* those of calls that have ended */
	const struct sk_jsym *const *syms;      /* the template's names, for `loop`, `caller` ... */
};

/* Names that the evaluator binds itself: places in sk_j.syms. */
enum { SK_J_SYM_LOOP, SK_J_SYM_CALLER, SK_J_SYM_VARARGS, SK_J_SYM_KWARGS, SK_J_SYMS };

_Noreturn void sk_j_fail(struct sk_j *j, sk_status st, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void *sk_j_take(struct sk_j *j, size_t bytes);                  /* never NULL */
void sk_j_step(struct sk_j *j, size_t n);                       /* count work; fails at the limits of steps and time */
static inline void sk_j_bytes(struct sk_j *j, size_t n) { sk_j_step(j, 1 + n / 64); }
void sk_j_down(struct sk_j *j);                                 /* one level deeper; fails at the limit */
static inline void sk_j_up(struct sk_j *j) { j->depth--; }

void sk_jsb_add(struct sk_j *j, struct sk_jsb *b, const char *s, size_t len);
void sk_jsb_adds(struct sk_j *j, struct sk_jsb *b, const char *s);
void sk_jsb_addf(struct sk_j *j, struct sk_jsb *b, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static inline void sk_jsb_addc(struct sk_j *j, struct sk_jsb *b, char c) { sk_jsb_add(j, b, &c, 1); }
static inline struct sk_jv sk_jsb_str(const struct sk_jsb *b) { return sk_jv_str(b->s ? b->s : "", b->len); }

/* ---- jinja_value.c ------------------------------------------------------------------------------------------ */

struct sk_jv sk_j_text(struct sk_j *j, const char *s);          /* a string of C, lent */
struct sk_jv sk_j_join(struct sk_j *j, struct sk_jv a, struct sk_jv b); /* two strings */
struct sk_jv sk_j_escape(struct sk_j *j, struct sk_jv s);       /* HTML's, unless it is markup; gives markup */
struct sk_jlist *sk_j_list(struct sk_j *j, size_t cap);
void sk_j_push(struct sk_j *j, struct sk_jlist *l, struct sk_jv v);
struct sk_jdict *sk_j_dict(struct sk_j *j);
void sk_j_put(struct sk_j *j, struct sk_jdict *d, struct sk_jv k, struct sk_jv v);     /* fails where k is no key */
struct sk_jv *sk_j_find(struct sk_j *j, const struct sk_jdict *d, struct sk_jv k);     /* NULL: none */
struct sk_jv *sk_j_find_name(struct sk_j *j, const struct sk_jdict *d, const char *s, size_t len);
struct sk_jv sk_j_undef_name(struct sk_j *j, const char *s, size_t len);
struct sk_jv sk_j_undef_member(struct sk_j *j, struct sk_jv of, struct sk_jv name);
struct sk_jv sk_j_undef_hint(struct sk_j *j, const char *hint);
_Noreturn void sk_j_undef_fail(struct sk_j *j, struct sk_jv v);
const char *sk_j_type(struct sk_jv v);                          /* "str", "NoneType" ... */
bool sk_j_true(struct sk_j *j, struct sk_jv v);
bool sk_j_equal(struct sk_j *j, struct sk_jv a, struct sk_jv b);
int sk_j_compare(struct sk_j *j, struct sk_jv a, struct sk_jv b, const char *op);       /* fails where there is no order; 2: NaN */
bool sk_j_is_num(struct sk_jv v);                               /* bool, int, float */
bool sk_j_is_int(struct sk_jv v);                               /* bool, int */
double sk_j_num(struct sk_jv v);
bool sk_jv_is(struct sk_jv v, const char *s);                   /* that string? */
/* A string's characters; bytes of the i-th one on. */
size_t sk_j_chars(struct sk_j *j, struct sk_jv s);
size_t sk_j_offset(struct sk_jv s, size_t chars);
struct sk_jv sk_j_sub(struct sk_jv s, size_t from, size_t to);  /* bytes */

/* ---- jinja_show.c: values as text --------------------------------------------------------------------------- */

struct sk_jv sk_j_str(struct sk_j *j, struct sk_jv v);          /* str() */
void sk_j_add_str(struct sk_j *j, struct sk_jsb *b, struct sk_jv v);
void sk_j_add_repr(struct sk_j *j, struct sk_jsb *b, struct sk_jv v);
const char *sk_j_repr(struct sk_j *j, struct sk_jv v);          /* for messages: cut, NUL-terminated */
void sk_j_add_float(struct sk_j *j, struct sk_jsb *b, double f);

/* ---- jinja_json.c ------------------------------------------------------------------------------------------- */

struct sk_jv sk_j_from_json(struct sk_j *j, const char *name, const char *s, size_t len);
struct sk_jv sk_j_tojson(struct sk_j *j, struct sk_jv self, const struct sk_jv *a, const struct sk_jargs *raw);

/* ---- jinja_ops.c -------------------------------------------------------------------------------------------- */

struct sk_jv sk_j_binary(struct sk_j *j, enum sk_jop op, struct sk_jv a, struct sk_jv b);
bool sk_j_in(struct sk_j *j, struct sk_jv item, struct sk_jv all);
struct sk_jv sk_j_attr(struct sk_j *j, struct sk_jv v, const char *s, size_t len);
struct sk_jv sk_j_item(struct sk_j *j, struct sk_jv v, struct sk_jv key);
struct sk_jv sk_j_slice(struct sk_j *j, struct sk_jv v, struct sk_jv start, struct sk_jv stop, struct sk_jv step);
struct sk_jlist *sk_j_iter(struct sk_j *j, struct sk_jv v);     /* what a loop over v sees; fails where there is none */
bool sk_j_iterable(struct sk_jv v);
bool sk_j_len(struct sk_j *j, struct sk_jv v, size_t *ret_len);
struct sk_jv sk_j_path(struct sk_j *j, struct sk_jv v, struct sk_jv path, struct sk_jv otherwise);     /* attribute="a.b.0" */

/* ---- calls: jinja_eval.c, jinja_run.c ----------------------------------------------------------------------- */

/*
 * Something of the language that is written in C. params: names in order, '?' before those that may be left out; a[i] is then the i-th, or
 * MISSING. NULL: raw has them as they came.
 */
typedef struct sk_jv (*sk_j_fn)(struct sk_j *j, struct sk_jv self, const struct sk_jv *a, const struct sk_jargs *raw);
struct sk_jdef { const char *name; sk_j_fn run; const char *params; };

struct sk_jv sk_j_call_def(struct sk_j *j, const struct sk_jdef *d, struct sk_jv self, const struct sk_jargs *args);
struct sk_jv sk_j_call(struct sk_j *j, struct sk_jv f, const struct sk_jargs *args);
struct sk_jv sk_j_eval(struct sk_j *j, const struct sk_jnode *n);
/* Room for a call's arguments, empty; put back when it has ended: nobody keeps it. */
struct sk_jargs *sk_j_args_take(struct sk_j *j);
void sk_j_args_put(struct sk_j *j, struct sk_jargs *args);
void sk_j_eval_args(struct sk_j *j, const struct sk_jnode *n, struct sk_jargs *ret_args);
void sk_j_run(struct sk_j *j, const struct sk_jnode *n);        /* a list of statements */
struct sk_jv sk_j_call_macro(struct sk_j *j, struct sk_jmacro *m, const struct sk_jargs *args);
struct sk_jv sk_j_call_loop(struct sk_j *j, struct sk_jloop *l, const struct sk_jargs *args);
struct sk_jv sk_j_loop_attr(struct sk_j *j, struct sk_jv v, const char *s, size_t len);

/* ---- tables ------------------------------------------------------------------------------------------------- */

const struct sk_jdef *sk_j_def_find(const struct sk_jdef *defs, const char *s, size_t len);    /* the list ends with a NULL name */
const struct sk_jdef *sk_j_filter(const char *s, size_t len);
const struct sk_jdef *sk_j_test(const char *s, size_t len);
extern const struct sk_jdef sk_j_text_filters[], sk_j_list_filters[], sk_j_tests[], sk_j_globals[];
extern const struct sk_jdef sk_j_str_methods[], sk_j_str_asks[], sk_j_dict_methods[], sk_j_list_methods[], sk_j_loop_methods[];
extern const struct sk_jdef sk_j_cycler_methods[], sk_j_num_methods[], sk_j_dict_type_methods[];

/* ---- jinja_format.c, jinja_case.c --------------------------------------------------------------------------- */

struct sk_jv sk_j_percent(struct sk_j *j, struct sk_jv format, struct sk_jv args);             /* "%s" % x */
struct sk_jv sk_j_format(struct sk_j *j, struct sk_jv format, const struct sk_jargs *args);    /* "{}".format(x) */
enum sk_jcase { SK_J_LOWER, SK_J_UPPER, SK_J_FOLD, SK_J_SWAP, SK_J_TITLE, SK_J_CAPITALIZE };
struct sk_jv sk_j_case(struct sk_j *j, struct sk_jv s, enum sk_jcase how);
bool sk_j_space(uint32_t cp);
bool sk_j_word(uint32_t cp);                                    /* \w */
struct sk_jv sk_j_strip(struct sk_jv s, struct sk_jv chars, int sides);                        /* 1 left, 2 right, 3 both */
struct sk_jlist *sk_j_lines(struct sk_j *j, struct sk_jv s, bool keep);                        /* str.splitlines() */

/* ---- arguments ---------------------------------------------------------------------------------------------- */

struct sk_jv sk_j_want_str(struct sk_j *j, struct sk_jv v);     /* else a TypeError's words */
int64_t sk_j_want_int(struct sk_j *j, struct sk_jv v);
static inline bool sk_j_given(struct sk_jv v) { return v.kind != SK_J_MISSING; }
static inline bool sk_j_given_true(struct sk_j *j, struct sk_jv v) { return sk_j_given(v) && sk_j_true(j, v); }

/* ---- the parser: jinja_lex.c, jinja_expr.c, jinja_parse.c --------------------------------------------------- */

enum sk_jtok_kind { SK_JT_EOF, SK_JT_DATA, SK_JT_VAR, SK_JT_VAR_END, SK_JT_BLOCK, SK_JT_BLOCK_END, SK_JT_NAME, SK_JT_STR, SK_JT_NUM, SK_JT_OP };
struct sk_jtok { uint8_t kind, op; uint32_t line; struct sk_jv value; };

#define SK_J_BUCKETS 256
struct sk_jp {
	struct sk_j *j;
	struct sk_jtok *toks, *at;
	struct sk_jsym *buckets[SK_J_BUCKETS];
	int soft;                       /* inside an if: an unknown filter fails when it runs */
	int loops;                      /* break and continue have a loop */
	unsigned mentioned;             /* bits: which of syms the macro mentions that is read */
	const struct sk_jsym *syms[SK_J_SYMS];
};

struct sk_jtok *sk_j_lex(struct sk_j *j, const char *source, size_t len);
const struct sk_jsym *sk_jp_sym(struct sk_jp *p, const char *s, size_t len);
struct sk_jnode *sk_jp_node(struct sk_jp *p, enum sk_jnode_kind kind);
bool sk_jp_is(const struct sk_jp *p, const char *name);         /* the token is this name */
bool sk_jp_skip(struct sk_jp *p, const char *name);
bool sk_jp_op(const struct sk_jp *p, enum sk_jop op);
bool sk_jp_skip_op(struct sk_jp *p, enum sk_jop op);
void sk_jp_want_op(struct sk_jp *p, enum sk_jop op, const char *what);
void sk_jp_want(struct sk_jp *p, const char *name);
const struct sk_jsym *sk_jp_want_name(struct sk_jp *p);
_Noreturn void sk_jp_unexpected(struct sk_jp *p, const char *wanted);
struct sk_jnode *sk_jp_expr(struct sk_jp *p);                   /* with a conditional */
struct sk_jnode *sk_jp_tuple(struct sk_jp *p, bool with_cond, const char *end);
struct sk_jnode *sk_jp_target(struct sk_jp *p, const char *end, bool with_ns);
struct sk_jnode *sk_jp_filters(struct sk_jp *p, struct sk_jnode *n, bool from_name);
struct sk_jnode *sk_jp_call_args(struct sk_jp *p);
struct sk_jnode *sk_jp_postfix_call(struct sk_jp *p);
struct sk_jnode *sk_jp_template(struct sk_jp *p);               /* all statements */

#endif
