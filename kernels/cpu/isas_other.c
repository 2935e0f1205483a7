/* SPDX-License-Identifier: Apache-2.0 */
/* The levels of a build for any other machine. */
#include "kernels/cpu/cpu.h"

const struct sk_cpu_isa *const sk_cpu_isas[] = { &sk_cpu_isa_portable, NULL };
