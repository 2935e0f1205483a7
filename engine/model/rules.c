/* SPDX-License-Identifier: Apache-2.0 */
/* Weight rules: from a slot and a layer to a tensor of the checkpoint, and whether its shape is what the rule says. */
#include "engine/model/inside.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

const struct sk_weight_rule *sk_rules(const struct sk_weights *w, const struct sk_arch *a)
{
	return sk_weights_form(w) == SK_FORM_GGUF && a->gguf ? a->gguf : a->weights;
}

bool sk_rule_per_layer(const struct sk_weight_rule *r)
{
	return strstr(r->name, "%d") != NULL;
}

/* Rules of a mixture are for models that have one, of the MLP in its place for those that have none. */
static bool is_for(const struct sk_weight_rule *r, const struct sk_dims *d)
{
	if (r->slot >= SK_W_SHARED_GATE && r->slot <= SK_W_SHARED_SCALE_B)
		return d->shared_width > 0;
	if (r->slot >= SK_W_ROUTER && r->slot <= SK_W_EXPERT_DOWN_B)
		return d->route.experts > 0;
	return !d->route.experts || r->slot < SK_W_GATE || r->slot > SK_W_DOWN_B;
}

int32_t sk_rule_layers(const struct sk_weight_rule *r, const struct sk_dims *d)
{
	if (!sk_rule_per_layer(r))
		return 1;
	if (!is_for(r, d))
		return 0;
	if (strstr(r->name, "%e"))
		return d->layers * d->route.experts;
	return r->flags & SK_RULE_ENCODER ? d->encoder_layers : d->layers;
}

int32_t sk_rule_at(const struct sk_weight_rule *r, const struct sk_dims *d, int32_t i)
{
	return strstr(r->name, "%e") ? i % d->layers + i / d->layers * SK_LAYERS_MAX : i;
}

void sk_rule_name(const struct sk_weight_rule *r, int32_t layer, char out[SK_RULE_NAME_MAX])
{
	const char *at = r->name;
	size_t len = 0;

	out[0] = 0;
	while (*at && len < SK_RULE_NAME_MAX) {
		size_t plain = strcspn(at, "%");

		len += (size_t)snprintf(out + len, SK_RULE_NAME_MAX - len, "%.*s", (int)plain, at);
		at += plain;
		if (!*at || len >= SK_RULE_NAME_MAX)
			break;
		len += (size_t)snprintf(out + len, SK_RULE_NAME_MAX - len, "%" PRId32, at[1] == 'e' ? layer / SK_LAYERS_MAX : layer % SK_LAYERS_MAX);
		at += 2;
	}
}

const struct sk_tensor *sk_rule_find(const struct sk_weights *w, const struct sk_arch *a, const struct sk_weight_rule *r,
				     int32_t layer)
{
	const char *prefix = sk_rules(w, a) == a->weights && a->prefix ? a->prefix : "";
	char name[SK_RULE_NAME_MAX], full[SK_RULE_NAME_MAX + 64];
	const struct sk_tensor *t;

	sk_rule_name(r, layer, name);
	t = sk_weights_find(w, name);
	while (!t && *prefix) {                 /* "model.decoder. decoder." */
		size_t len = strcspn(prefix, " ");

		snprintf(full, sizeof(full), "%.*s%s", (int)len, prefix, name);
		t = sk_weights_find(w, full);
		prefix += len + (prefix[len] == ' ');
	}
	return t;
}

const struct sk_tensor *sk_slot_find(const struct sk_weights *w, const struct sk_arch *a, enum sk_slot slot, int32_t layer)
{
	const struct sk_tensor *t = NULL;

	for (const struct sk_weight_rule *r = sk_rules(w, a); r->slot != SK_W_END && !t; r++)
		if (r->slot == slot)
			t = sk_rule_find(w, a, r, layer);
	return t;
}

bool sk_slot_transposed(const struct sk_weights *w, const struct sk_arch *a, enum sk_slot slot, int32_t layer)
{
	for (const struct sk_weight_rule *r = sk_rules(w, a); r->slot != SK_W_END; r++)
		if (r->slot == slot && sk_rule_find(w, a, r, layer))
			return r->flags & SK_RULE_TRANSPOSED;
	return false;
}

bool sk_slot_is_vector(enum sk_slot slot, int32_t dims)
{
	return (dims == 1 && slot != SK_W_SHARED_SCALE) || slot == SK_W_EXPERT_GATE_UP_B || slot == SK_W_EXPERT_DOWN_B || slot == SK_W_Q_NORM || slot == SK_W_K_NORM || slot == SK_W_Q_NORM_B || slot == SK_W_K_NORM_B;
}

int64_t sk_tensor_len(const struct sk_tensor *t)
{
	int64_t len = 1;

	for (int i = 0; i < t->dims; i++)
		len *= t->dim[i];
	return len;
}

/* ---- shapes --------------------------------------------------------------------------------------------------- */

static int64_t letter(const struct sk_dims *d, char c)
{
	int64_t q = (int64_t)d->heads * d->head_width, g = (int64_t)d->kv_heads * d->head_width;
	const struct { char letter; int64_t value; } letters[] = {
		{ 'D', d->width }, { 'E', d->embed_width }, { 'V', d->vocab }, { 'F', d->ffn_width }, { 'Q', q }, { 'G', g },
		{ 'C', q + 2 * g }, { 'I', 2 * g }, { 'H', d->heads }, { 'R', d->rope.width / 2 }, { 'P', d->positions },
		{ 'B', d->rel_buckets }, { 'J', 2 * (int64_t)d->ffn_width }, { 'K', d->kv_heads }, { 'W', d->head_width },
		{ 'X', d->route.experts }, { 'M', d->expert_width }, { 'N', 2 * (int64_t)d->expert_width }, { 'S', d->shared_width }, { '1', 1 },
	};

	for (size_t i = 0; i < sizeof(letters) / sizeof(letters[0]); i++)
		if (letters[i].letter == c)
			return letters[i].value;
	(void)SK_BUG_IF(true);          /* a letter no rule may use */
	return 0;
}

int32_t sk_rule_shape(const struct sk_weight_rule *r, const struct sk_dims *d, int64_t ret_dim[4])
{
	int32_t dims = 0;

	for (const char *s = r->shape; *s; s++)
		if (*s != ',')
			ret_dim[dims++] = letter(d, *s);
	return dims;
}

static void print_shape(const struct sk_tensor *t, char out[96])
{
	size_t len = 0;

	for (int i = 0; i < t->dims; i++)
		len += (size_t)snprintf(out + len, 96 - len, "%s%" PRId64, i ? ", " : "", t->dim[i]);
}

sk_status sk_rule_check(const struct sk_weights *w, const struct sk_weight_rule *r, const struct sk_dims *d,
			const struct sk_tensor *t, struct sk_err *err)
{
	struct sk_tensor want = { .dims = 0 };
	char have_text[96], want_text[96];
	bool same;

	want.dims = sk_rule_shape(r, d, want.dim);
	same = want.dims == t->dims;
	for (int i = 0; same && i < t->dims; i++)
		same = want.dim[i] == t->dim[i];
	if (t->dims == 1 && want.dims == 2 && want.dim[0] == 1)         /* one row, as a GGUF may have it */
		same = t->dim[0] == want.dim[1];
	if (!same) {
		print_shape(t, have_text);
		print_shape(&want, want_text);
		return sk_fail(err, SK_EFORMAT, "%s: tensor %s has shape [%s], the configuration wants [%s] (%s)",
			       sk_weights_path(w), t->name, have_text, want_text, r->shape);
	}
	if (t->dtype >= SK_DTYPES)
		return sk_fail(err, SK_ENOTSUP, "%s: tensor %s has type %s, which nothing here calculates with",
			       sk_weights_path(w), t->name, t->type);
	return SK_OK;
}
