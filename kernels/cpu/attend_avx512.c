/* SPDX-License-Identifier: Apache-2.0 */
/* Attention and the KV pool's writer for AVX-512. */
#include "kernels/cpu/vec_avx512.h"

#include "kernels/cpu/attend_loops.h"
