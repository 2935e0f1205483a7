# SPDX-License-Identifier: Apache-2.0
"""What the GPU gives in the same minutes: copy bandwidth, and the rate of a bf16 matrix product, through torch."""
import statistics, sys

try:
    import torch
except ImportError:
    print("limits: there is no torch here")
    sys.exit()


def seconds(fn, n=20):
    for _ in range(3):
        fn()
    ends = [torch.cuda.Event(enable_timing=True) for _ in range(2)]
    ends[0].record()
    for _ in range(n):
        fn()
    ends[1].record()
    torch.cuda.synchronize()
    return ends[0].elapsed_time(ends[1]) / n / 1e3


x = torch.empty(1 << 30, dtype=torch.uint8, device="cuda")
y = torch.empty_like(x)
print("copy                %7.0f GB/s (read and written)" % statistics.median(2 * x.numel() / seconds(lambda: y.copy_(x)) / 1e9 for _ in range(5)))
a = torch.randn(8192, 8192, dtype=torch.bfloat16, device="cuda")
b = torch.randn_like(a)
print("bf16 matrix product %7.0f TFLOP/s" % statistics.median(2 * 8192**3 / seconds(lambda: a @ b) / 1e12 for _ in range(5)))
