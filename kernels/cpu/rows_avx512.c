/* SPDX-License-Identifier: Apache-2.0 */
/* Operations on rows for AVX-512. */
#include "kernels/cpu/vec_avx512.h"

#include "kernels/cpu/rows_loops.h"
