/* SPDX-License-Identifier: Apache-2.0 */
/* See sets.h. */
#include "engine/text/sets.h"

struct range { uint32_t first, last; };
struct script { uint32_t first, last; int number; };
struct added { uint32_t first, last; const char *category; };
struct added_script { uint32_t first, last; const char *script; };
struct lower { uint32_t cp, to, more; };

#include "engine/text/sets.inc"

#define SET(name) { set_##name, sizeof(set_##name) / sizeof(set_##name[0]) }
static const struct { const struct range *at; size_t len; } sets[SK_SETS] = {
	[SK_SET_SPACE] = SET(space), [SK_SET_NUMBER] = SET(number), [SK_SET_WORD] = SET(word),
	[SK_SET_PUNCTUATION] = SET(punctuation), [SK_SET_CONTROL] = SET(control), [SK_SET_BERT_SPACE] = SET(bert_space),
	[SK_SET_HAN] = SET(han), [SK_SET_MARK] = SET(mark), [SK_SET_BERT_MARK] = SET(bert_mark), [SK_SET_INERT] = SET(inert),
	[SK_SET_ALPHA_MORE] = SET(alpha_more), [SK_SET_LOWER_MORE] = SET(lower_more),
};

bool sk_set_has(enum sk_set set, uint32_t cp)
{
	const struct range *r = sets[set].at;
	size_t lo = 0, hi = sets[set].len, mid;

	while (lo < hi) {
		mid = (lo + hi) / 2;
		if (r[mid].last < cp)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < sets[set].len && r[lo].first <= cp;
}

bool sk_set_range(enum sk_set set, size_t i, uint32_t *ret_first, uint32_t *ret_last)
{
	if (i >= sets[set].len)
		return false;
	*ret_first = sets[set].at[i].first;
	*ret_last = sets[set].at[i].last;
	return true;
}

int sk_script_of(uint32_t cp)
{
	size_t lo = 0, len = sizeof(scripts) / sizeof(scripts[0]), hi = len, mid;

	while (lo < hi) {
		mid = (lo + hi) / 2;
		if (scripts[mid].last < cp)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < len && scripts[lo].first <= cp ? scripts[lo].number : 0;
}

int sk_lower_of(uint32_t cp, uint32_t out[2])
{
	size_t i;

	for (i = 0; i < sizeof(lowers) / sizeof(lowers[0]) && lowers[i].cp <= cp; i++)
		if (lowers[i].cp == cp) {
			out[0] = lowers[i].to;
			out[1] = lowers[i].more;
			return lowers[i].more ? 2 : 1;
		}
	return 0;
}

bool sk_category_added(size_t i, uint32_t *ret_first, uint32_t *ret_last, const char **ret_category)
{
	if (i >= sizeof(added) / sizeof(added[0]))
		return false;
	*ret_first = added[i].first;
	*ret_last = added[i].last;
	*ret_category = added[i].category;
	return true;
}

bool sk_script_added(size_t i, uint32_t *ret_first, uint32_t *ret_last, const char **ret_script)
{
	if (i >= sizeof(added_scripts) / sizeof(added_scripts[0]))
		return false;
	*ret_first = added_scripts[i].first;
	*ret_last = added_scripts[i].last;
	*ret_script = added_scripts[i].script;
	return true;
}
