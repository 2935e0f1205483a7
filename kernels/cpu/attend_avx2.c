/* SPDX-License-Identifier: Apache-2.0 */
/* Attention and the KV pool's writer for AVX2 with FMA. */
#include "kernels/cpu/vec_avx2.h"

#include "kernels/cpu/attend_loops.h"
