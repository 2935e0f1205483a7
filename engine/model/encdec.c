/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The encoder's step: whole inputs of some sequences.
 *
 *	x = embed(ids)
 *	each layer of the encoder:      x += Wo attend(q);  x += mlp(norm x)            every token sees every token of its input
 *	each layer of the decoder:      cross keys and values = W norm(x), written once
 *
 * The layers' own keys and values are needed by nobody afterwards: they lie in the sequence's blocks where the first decoder
 * layer's cross keys and values go at the end.
 */
#include "engine/model/inside.h"

static sk_status check_encode(const struct sk_model *m, const struct sk_step *step, struct sk_err *err)
{
	if (!m->encoder)
		return sk_fail(err, SK_EINVAL, "architecture %s has no encoder", m->arch->name);
	if (step->T < 1 || step->T > m->rows_max || step->S < 1 || step->S > m->opts.sequences_max)
		return sk_fail(err, SK_EINVAL, "an encoder's step of %d tokens and %d sequences, planned for %d and %d", step->T, step->S,
			       m->rows_max, m->opts.sequences_max);
	for (int32_t t = 0; t < step->T; t++)
		if (step->ids[t] < 0 || step->ids[t] >= m->dims.vocab)
			return sk_fail(err, SK_EINVAL, "token %d of the encoder's step: id %d of %d", t, step->ids[t], m->dims.vocab);
	return SK_OK;
}

sk_status sk_model_encode(struct sk_model *m, const struct sk_step *step, struct sk_err *err)
{
	const struct sk_place at = { .bias = m->encoder_bias, .encoder = true };
	sk_status st = check_encode(m, step, err);

	if (st < 0)
		return st;
	m->backend->ops->begin(m->dev, step);
	sk_layer_embed(m, step);
	for (int32_t l = 0; l < m->dims.encoder_layers; l++) {
		sk_layer_self(m, &m->encoder[l], &at, step);
		sk_layer_mlp(m, &m->encoder[l], m->x, step->T);
	}
	sk_layer_norm(m, &m->encoder_norm, m->x, m->h, step->T);
	for (int32_t l = 0; l < m->dims.layers; l++)
		sk_layer_cross_write(m, &m->layers[l], l, m->h, step);
	return m->backend->sync(m->dev, err);
}
