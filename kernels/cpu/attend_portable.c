/* SPDX-License-Identifier: Apache-2.0 */
/* Attention and the KV pool's writer for every machine. */
#include "kernels/cpu/vec_portable.h"

#include "kernels/cpu/attend_loops.h"
