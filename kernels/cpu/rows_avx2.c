/* SPDX-License-Identifier: Apache-2.0 */
/* Operations on rows for AVX2 with FMA. */
#include "kernels/cpu/vec_avx2.h"

#include "kernels/cpu/rows_loops.h"
