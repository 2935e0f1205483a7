/* SPDX-License-Identifier: Apache-2.0 */
/* saker info --plan: what a model would take on some ranks, from its config.json alone. */
#ifndef SK_FCGI_INFO_PLAN_H
#define SK_FCGI_INFO_PLAN_H

#include "engine/base/buf.h"
#include "engine/saker.h"
#include "fcgi/commands.h"

/* Write the plan, as text or JSON, to b. eo: the settings; f: the flags of info. Errors of sk_engine_fit(). */
sk_status sk_info_plan(struct sk_buf *b, const struct sk_engine_opts *eo, const struct sk_flags *f, struct sk_err *err);

#endif
