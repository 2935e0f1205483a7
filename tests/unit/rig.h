/* SPDX-License-Identifier: Apache-2.0 */
/* A tiny model in a directory of the test's own, and the engine on it. Whatever fails ends the program with words. */
#ifndef UNIT_RIG_H
#define UNIT_RIG_H

#include "engine/saker.h"
#include "kernels/kernels.h"

extern char rig_path[96];               /* of the model; a test may write another one there */

void rig_model_write(enum sk_dtype linear);     /* TINY_GGUF_INIT with linears of this type */
void rig_model_remove(void);

/* READY, on rig_path; what is left out: the ref backend, one thread, 4 MiB of KV. */
struct sk_engine *rig_engine_open(struct sk_engine_opts o);

/* One of some twenty requests of all kinds; from there on the same ones with another seed, and longer. */
struct sk_gen *rig_submit(struct sk_engine *e, int which);
void rig_bell_wait(struct sk_engine *e);        /* until the doorbell rings */

#endif
