/* SPDX-License-Identifier: Apache-2.0 */
/* Operations on rows for every machine. */
#include "kernels/cpu/vec_portable.h"

#include "kernels/cpu/rows_loops.h"
