/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pre-tokenising by tables of patterns; see pretok.h.
 *
 * The patterns are those of the models' own tokenizer.json, and mean what the Hugging Face library's regex
 * engine (Oniguruma, Unicode 16) makes of them. PCRE2 of a stable distribution knows an older Unicode and
 * counts U+180E as a space. So the patterns stay as they are, and the few characters the two engines disagree
 * about are replaced, for matching only, by a stand-in of the same length whose class is right in both
 * (`odd[]`). tests/golden/ holds the proof: every code point.
 */
#include "engine/text/pretok.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "engine/base/utf8.h"

/* Backtracking steps of one match. The patterns below need a few for each character of a word. */
#define MATCH_LIMIT	50000000u
#define HEAP_LIMIT_KIB	(64u * 1024)
#define STAGES_MAX	4

/* ---- the table ------------------------------------------------------------------------------------------------- */

/*
 * A new pattern must keep what sk_text_cut() (text.c) takes for granted: words end where it says, and nothing looks
 * back. The test of cuts in tests/unit/test_text.c goes through every row.
 */
#define GPT2	"'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"
#define TAIL	" ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
/* As BLOOM's file has it: a class inside a class. */
#define BLOOM_FILE " ?[^(\\s|[.,!?\xe2\x80\xa6\xe3\x80\x82\xef\xbc\x8c\xe3\x80\x81\xe0\xa5\xa4\xdb\x94\xd8\x8c])]+"
#define SHORT	"(?i:'s|'t|'re|'ve|'m|'ll|'d)"

/*
 * What Falcon's "Punctuation" step knows: the classes P of Unicode 8 and ASCII's signs; later P characters are
 * left out. Possessive (++): a plain repeat of a group takes stack for each character.
 */
#define PUNCT8	"(?:(?![\\x{61d}\\x{9fd}\\x{a76}\\x{c77}\\x{c84}\\x{1b4e}\\x{1b4f}\\x{1b7d}-\\x{1b7f}\\x{2e43}-\\x{2e4f}" \
		"\\x{2e52}-\\x{2e5d}\\x{10d6e}\\x{10ead}\\x{10f55}-\\x{10f59}\\x{10f86}-\\x{10f89}\\x{113d4}" \
		"\\x{113d5}\\x{113d7}\\x{113d8}\\x{1144b}-\\x{1144f}\\x{1145a}\\x{1145b}\\x{1145d}\\x{11660}-\\x{1166c}" \
		"\\x{116b9}\\x{1183b}\\x{11944}-\\x{11946}\\x{119e2}\\x{11a3f}-\\x{11a46}\\x{11a9a}-\\x{11a9c}" \
		"\\x{11a9e}-\\x{11aa2}\\x{11b00}-\\x{11b09}\\x{11be1}\\x{11c41}-\\x{11c45}\\x{11c70}\\x{11c71}" \
		"\\x{11ef7}\\x{11ef8}\\x{11f43}-\\x{11f4f}\\x{11fff}\\x{12ff1}\\x{12ff2}\\x{16d6d}-\\x{16d6f}" \
		"\\x{16e97}-\\x{16e9a}\\x{16fe2}\\x{1e5ff}\\x{1e95e}\\x{1e95f}])[\\p{P}$+<=>^~|`\\x{166d}\\x{111c9}])++"

static const struct sk_pretok_rule rules[] = {
	/* ByteLevel of GPT-2. */
	{ .names = "gpt-2 default phi-2 jais", .stages = { { GPT2 } } },
	/* The same behind NFC: GPT-NeoX 20B's tokenizer and those made from it, named after two models that have it. */
	{ .names = "mpt olmo gpt-neox", .archs = "gptneox mpt olmo", .stages = { { GPT2 } }, .nfc = true },
	/* Digits one by one, then ByteLevel. */
	{ .names = "smollm starcoder refact codeshell", .archs = "starcoder refact codeshell", .stages = { { "\\p{N}" }, { GPT2 } }, .digits = true },
	{ .names = "command-r", .stages = { { "\\p{N}" }, { GPT2 } }, .digits = true, .nfc = true },
	/* Split by the pattern, then ByteLevel without one. */
	{ .names = "llama-bpe llama3 llama-v3", .ignore_merges = true, .add_bos = true,
	  .stages = { { SHORT "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}|" TAIL } } },
	{ .names = "qwen2 deepseek-r1-qwen", .nfc = true,
	  .stages = { { SHORT "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}|" TAIL } } },
	{ .names = "bloom poro-chat gpt3-finnish", .archs = "bloom", .stages = { { " ?[^(\\s|.,!?\\x{2026}\\x{3002}\\x{ff0c}\\x{3001}\\x{964}\\x{6d4}\\x{60c})]+" } } },
	/*
	 * Punctuation (runs), ByteLevel, Digits (runs), groups of three. The last two come after the byte
	 * alphabet, where the bytes B2 B3 B9 BC BD BE look like the numbers of Latin-1.
	 */
	{ .names = "falcon", .archs = "falcon",
	  .stages = { { PUNCT8 }, { GPT2 }, { "[0-9\\xb2\\xb3\\xb9\\xbc-\\xbe]+", true }, { "[0-9][0-9][0-9]", true } } },
};

const struct sk_pretok_rule *sk_pretok_at(size_t i)
{
	return i < sizeof(rules) / sizeof(rules[0]) ? &rules[i] : NULL;
}

/* Patterns are written in files as in the table, but for BLOOM's. */
const struct sk_pretok_rule *sk_pretok_by_pattern(const char *pattern, size_t len)
{
	const struct sk_pretok_stage *s;
	size_t i;

	for (i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
		s = rules[i].stages;
		if (!s[1].pattern && !rules[i].digits && strlen(s->pattern) == len && !memcmp(s->pattern, pattern, len))
			return &rules[i];
	}
	if (len == sizeof(BLOOM_FILE) - 1 && !memcmp(pattern, BLOOM_FILE, len))
		return sk_pretok_find("bloom", 5);
	return NULL;
}

static bool name_in(const char *names, const char *name, size_t len)
{
	size_t n;

	for (; *names; names += n + (names[n] == ' ')) {
		n = strcspn(names, " ");
		if (n == len && !memcmp(names, name, len))
			return true;
	}
	return false;
}

const struct sk_pretok_rule *sk_pretok_find(const char *name, size_t len)
{
	size_t i;

	if (!len)
		return &rules[0];
	for (i = 0; i < sizeof(rules) / sizeof(rules[0]); i++)
		if (name_in(rules[i].names, name, len))
			return &rules[i];
	return NULL;
}

const struct sk_pretok_rule *sk_pretok_of_arch(const char *arch, size_t len)
{
	size_t i;

	for (i = 0; i < sizeof(rules) / sizeof(rules[0]); i++)
		if (len && rules[i].archs && name_in(rules[i].archs, arch, len))
			return &rules[i];
	return &rules[0];
}

/* ---- characters the regex libraries disagree about -------------------------------------------------------------- */

enum odd_class { OD_LETTER, OD_NUMBER, OD_RUST_NUMBER, OD_FORMAT };

/* A character of each class, in three- and four-byte form, that every Unicode since 5 classes alike. */
static const char *const stand_ins[][2] = {
	[OD_LETTER]	 = { "\xe4\xb8\x80", "\xf0\xa0\x80\x80" },	/* U+4E00 U+20000 */
	[OD_NUMBER]	 = { "\xe0\xa5\xa6", "\xf0\x9d\x9f\x8e" },	/* U+0966 U+1D7CE */
	[OD_RUST_NUMBER] = { "\xe0\xa5\xa6", "\xf0\x9d\x9f\x8e" },
	[OD_FORMAT]	 = { "\xe2\x80\x8b", "\xf0\x9d\x85\xb3" },	/* U+200B U+1D173 */
};

/*
 * Ascending. U+180E is a space for PCRE2 alone; the rest came with Unicode 15 and 16 (PCRE2 10.42: 14). The
 * numbers of Unicode 17 are known to Rust only. A pattern that asks for more than \p{L}, \p{N} and \s (case,
 * marks, punctuation) needs more classes here.
 */
static const struct { uint32_t first, last; enum odd_class class; } odd[] = {
	{ 0x180e, 0x180e, OD_FORMAT }, { 0x1c89, 0x1c8a, OD_LETTER }, { 0xa7cb, 0xa7cd, OD_LETTER },
	{ 0xa7da, 0xa7dc, OD_LETTER }, { 0x105c0, 0x105f3, OD_LETTER }, { 0x10d40, 0x10d49, OD_NUMBER },
	{ 0x10d4a, 0x10d65, OD_LETTER }, { 0x10d6f, 0x10d85, OD_LETTER }, { 0x10ec2, 0x10ec4, OD_LETTER },
	{ 0x1123f, 0x11240, OD_LETTER }, { 0x11380, 0x11389, OD_LETTER }, { 0x1138b, 0x1138b, OD_LETTER },
	{ 0x1138e, 0x1138e, OD_LETTER }, { 0x11390, 0x113b5, OD_LETTER }, { 0x113b7, 0x113b7, OD_LETTER },
	{ 0x113d1, 0x113d1, OD_LETTER }, { 0x113d3, 0x113d3, OD_LETTER }, { 0x116d0, 0x116e3, OD_NUMBER },
	{ 0x11bc0, 0x11be0, OD_LETTER }, { 0x11bf0, 0x11bf9, OD_NUMBER }, { 0x11de0, 0x11de9, OD_RUST_NUMBER },
	{ 0x11f02, 0x11f02, OD_LETTER }, { 0x11f04, 0x11f10, OD_LETTER }, { 0x11f12, 0x11f33, OD_LETTER },
	{ 0x11f50, 0x11f59, OD_NUMBER }, { 0x1342f, 0x1342f, OD_LETTER }, { 0x13441, 0x13446, OD_LETTER },
	{ 0x13460, 0x143fa, OD_LETTER }, { 0x16100, 0x1611d, OD_LETTER }, { 0x16130, 0x16139, OD_NUMBER },
	{ 0x16d40, 0x16d6c, OD_LETTER }, { 0x16d70, 0x16d79, OD_NUMBER }, { 0x16ff4, 0x16ff6, OD_RUST_NUMBER },
	{ 0x18cff, 0x18cff, OD_LETTER }, { 0x1b132, 0x1b132, OD_LETTER }, { 0x1b155, 0x1b155, OD_LETTER },
	{ 0x1ccf0, 0x1ccf9, OD_NUMBER }, { 0x1d2c0, 0x1d2d3, OD_NUMBER }, { 0x1df25, 0x1df2a, OD_LETTER },
	{ 0x1e030, 0x1e06d, OD_LETTER }, { 0x1e4d0, 0x1e4eb, OD_LETTER }, { 0x1e4f0, 0x1e4f9, OD_NUMBER },
	{ 0x1e5d0, 0x1e5ed, OD_LETTER }, { 0x1e5f0, 0x1e5f0, OD_LETTER }, { 0x1e5f1, 0x1e5fa, OD_NUMBER },
	{ 0x2b739, 0x2b739, OD_LETTER }, { 0x2ebf0, 0x2ee5d, OD_LETTER }, { 0x31350, 0x323af, OD_LETTER },
};

/* The stand-in of cp, or NULL: match the character itself. Cheap for all but the lead bytes E1, EA and F0. */
static const char *stand_in_find(uint32_t cp, bool digits)
{
	size_t lo = 0, hi = sizeof(odd) / sizeof(odd[0]), mid;
	enum odd_class class;

	while (lo < hi) {
		mid = (lo + hi) / 2;
		if (odd[mid].last < cp)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo == sizeof(odd) / sizeof(odd[0]) || cp < odd[lo].first)
		return NULL;
	class = odd[lo].class;
	if (class == OD_RUST_NUMBER && !digits)
		return NULL;
	return stand_ins[class][cp < 0x10000 ? 0 : 1];
}

/* Lead bytes of characters in odd[]. */
static inline bool odd_lead(unsigned char c)
{
	return c == 0xf0 || c == 0xe1 || c == 0xea;
}

/* *ret_copy: s with stand-ins, or NULL when there is nothing to replace. */
static sk_status stand_ins_put(const struct sk_pretok_rule *rule, const char *s, size_t len, char **ret_copy)
{
	const char *with;
	char *copy = NULL;
	uint32_t cp;
	size_t i = 0;
	int n;

	while (i < len) {
		if (!odd_lead((unsigned char)s[i])) {
			i++;                    /* in the middle of a character, too: a trailing byte is no lead byte */
			continue;
		}
		n = sk_utf8_next(s + i, len - i, &cp);
		if (n <= 0) {
			i++;
			continue;
		}
		with = stand_in_find(cp, rule->digits);
		if (with && !copy) {
			copy = malloc(len);
			if (!copy)
				return SK_ENOMEM;
			memcpy(copy, s, len);
		}
		if (with)
			memcpy(copy + i, with, (size_t)n);
		i += (size_t)n;
	}
	*ret_copy = copy;
	return SK_OK;
}

/* ---- compiled ---------------------------------------------------------------------------------------------------- */

struct sk_pretok {
	const struct sk_pretok_rule *rule;
	pcre2_code *code[STAGES_MAX];
	bool jit[STAGES_MAX];
	pcre2_match_context *limits;
	int stages;
};

sk_status sk_pretok_open(const struct sk_pretok_rule *rule, struct sk_pretok **ret_p, struct sk_err *err)
{
	struct sk_pretok *p = calloc(1, sizeof(*p));
	const struct sk_pretok_stage *s;
	PCRE2_SIZE at;
	int code;

	if (!p)
		return sk_fail(err, SK_ENOMEM, "no memory for the pre-tokeniser");
	p->rule = rule;
	p->limits = pcre2_match_context_create(NULL);
	if (!p->limits)
		goto nomem;
	pcre2_set_match_limit(p->limits, MATCH_LIMIT);
	pcre2_set_heap_limit(p->limits, HEAP_LIMIT_KIB);
	for (s = rule->stages; s->pattern && p->stages < STAGES_MAX; s++, p->stages++) {
		p->code[p->stages] = pcre2_compile((PCRE2_SPTR)s->pattern, PCRE2_ZERO_TERMINATED,
						   s->bytes ? 0 : PCRE2_UTF | PCRE2_UCP, &code, &at, NULL);
		if (!p->code[p->stages] && code == PCRE2_ERROR_HEAP_FAILED)
			goto nomem;
		if (!p->code[p->stages]) {
			sk_pretok_close(&p);
			return sk_fail(err, SK_EBUG, "pre-tokeniser %s: pattern error %d at %zu", rule->names, code,
				       (size_t)at);
		}
		/* Where the system forbids making code, the interpreter does: the same matches, slower. */
		p->jit[p->stages] = pcre2_jit_compile(p->code[p->stages], PCRE2_JIT_COMPLETE) == 0;
	}
	*ret_p = p;
	return SK_OK;
nomem:
	sk_pretok_close(&p);
	return sk_fail(err, SK_ENOMEM, "no memory for the pre-tokeniser");
}

void sk_pretok_close(struct sk_pretok **p)
{
	int i;

	if (!p || !*p)
		return;
	for (i = 0; i < STAGES_MAX; i++)
		pcre2_code_free((*p)->code[i]);
	pcre2_match_context_free((*p)->limits);
	free(*p);
	*p = NULL;
}

/* ---- walking ------------------------------------------------------------------------------------------------------ */

struct walk {
	const struct sk_pretok *p;
	const char *text;               /* the caller's bytes */
	const char *subject;            /* the same with stand-ins: what is matched */
	pcre2_match_data *match;        /* read before the next stage overwrites it */
	sk_pretok_take *take;
	void *arg;
	struct sk_err *err;
};

static sk_status match_failed(const struct walk *w, int rc)
{
	char words[128] = "";

	if (rc == PCRE2_ERROR_NOMEMORY)
		return sk_fail(w->err, SK_ENOMEM, "no memory to split the text");
	pcre2_get_error_message(rc, (PCRE2_UCHAR *)words, sizeof(words));
	return sk_fail(w->err, SK_EINVAL, "the text cannot be split into words: %s", words);
}

/* Each piece is a subject of its own: a lookahead must not see the next piece. */
static sk_status piece_split(const struct walk *w, int stage, size_t offset, size_t len)
{
	const struct sk_pretok *p = w->p;
	PCRE2_SPTR s;
	size_t pos = 0, start, stop;
	sk_status st;
	int rc;

	if (stage == p->stages)
		return w->take(w->arg, w->text + offset, len, offset);
	s = (PCRE2_SPTR)(p->rule->stages[stage].bytes ? w->text : w->subject) + offset;
	while (pos < len) {
		if (p->jit[stage])
			rc = pcre2_jit_match(p->code[stage], s, len, pos, PCRE2_NOTEMPTY, w->match, p->limits);
		else
			rc = pcre2_match(p->code[stage], s, len, pos, PCRE2_NOTEMPTY | PCRE2_NO_UTF_CHECK, w->match,
					 p->limits);
		if (rc == PCRE2_ERROR_NOMATCH)
			break;
		if (rc < 0)
			return match_failed(w, rc);
		start = pcre2_get_ovector_pointer(w->match)[0];
		stop = pcre2_get_ovector_pointer(w->match)[1];
		if (SK_BUG_IF(stop <= start || start < pos))
			return SK_EBUG;
		if (start > pos && (st = piece_split(w, stage + 1, offset + pos, start - pos)) < 0)
			return st;
		st = piece_split(w, stage + 1, offset + start, stop - start);
		if (st < 0)
			return st;
		pos = stop;
	}
	return pos < len ? piece_split(w, stage + 1, offset + pos, len - pos) : SK_OK;
}

sk_status sk_pretok_walk(const struct sk_pretok *p, const char *s, size_t len, sk_pretok_take *take, void *arg,
			 struct sk_err *err)
{
	struct walk w = { .p = p, .text = s, .subject = s, .take = take, .arg = arg, .err = err };
	char *copy = NULL;
	sk_status st;

	if (!len)
		return SK_OK;
	if (stand_ins_put(p->rule, s, len, &copy) < 0)
		return sk_fail(err, SK_ENOMEM, "no memory to split the text");
	if (copy)
		w.subject = copy;
	w.match = pcre2_match_data_create(1, NULL);
	if (!w.match)
		st = sk_fail(err, SK_ENOMEM, "no memory to split the text");
	else
		st = piece_split(&w, 0, 0, len);
	pcre2_match_data_free(w.match);
	free(copy);
	return st;
}
