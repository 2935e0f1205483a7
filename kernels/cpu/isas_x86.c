/* SPDX-License-Identifier: Apache-2.0 */
/* The levels of an x86-64 build, lowest first. */
#include "kernels/cpu/cpu.h"

const struct sk_cpu_isa *const sk_cpu_isas[] = { &sk_cpu_isa_portable, &sk_cpu_isa_avx2, &sk_cpu_isa_avx512, NULL };
