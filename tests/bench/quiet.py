#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How busy was the machine with other work while something was measured?

  quiet.py [--tries N] [--limit SHARE] -- COMMAND ...

Runs COMMAND; when others used more than SHARE of the cores meanwhile it is run again, at most N times. Prints the output of
the quietest run, and on standard error the share of others. compare.py imports Quiet for the same purpose: a barrier
that spins loses a factor of ten to a busy neighbour, so a sample without this number says little.
"""
import argparse, os, resource, subprocess, sys, time

TICKS = os.sysconf("SC_CLK_TCK")


def machine():
    """(all, busy) CPU seconds of all cores since boot."""
    with open("/proc/stat") as f:
        v = [int(x) for x in f.readline().split()[1:9]]
    return sum(v) / TICKS, (sum(v) - v[3] - v[4]) / TICKS


def children_of(pid):
    """pid and all its descendants that live."""
    tree = {}
    for d in os.listdir("/proc"):
        if d.isdigit():
            try:
                with open(f"/proc/{d}/stat") as f:
                    tree.setdefault(int(f.read().rsplit(")", 1)[1].split()[1]), []).append(int(d))
            except OSError:
                pass
    out, todo = [], [pid]
    while todo:
        p = todo.pop()
        out.append(p)
        todo += tree.get(p, [])
    return out


def cpu_of(pids):
    total = 0
    for p in pids:
        try:
            with open(f"/proc/{p}/stat") as f:
                v = f.read().rsplit(")", 1)[1].split()
            total += (int(v[11]) + int(v[12])) / TICKS
        except OSError:
            pass
    return total


class Quiet:
    """with Quiet(pids) as q: ...   then q.other is the share of the cores that others used, q.wall the seconds.

    Own work: children that ended meanwhile, and the processes of `pids` (servers that go on living): a list, or a function
    that tells them, for servers that start others meanwhile."""

    def __init__(self, pids=()):
        self.pids = pids if callable(pids) else lambda: pids

    def __enter__(self):
        r = resource.getrusage(resource.RUSAGE_CHILDREN)
        self.begin, self.own = machine(), r.ru_utime + r.ru_stime + cpu_of(self.pids()) + time.process_time()
        self.at = time.monotonic()
        return self

    def __exit__(self, *error):
        r = resource.getrusage(resource.RUSAGE_CHILDREN)
        own = r.ru_utime + r.ru_stime + cpu_of(self.pids()) + time.process_time() - self.own
        end = machine()
        self.wall = time.monotonic() - self.at
        self.other = max(0.0, (end[1] - self.begin[1] - own) / max(end[0] - self.begin[0], 1e-9))


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--tries", type=int, default=4)
    p.add_argument("--limit", type=float, default=0.05)
    p.add_argument("command", nargs="+")
    a = p.parse_args()
    best = None
    for n in range(a.tries):
        with Quiet() as q:
            r = subprocess.run(a.command, stdout=subprocess.PIPE)
        if best is None or q.other < best[0]:
            best = q.other, r
        if q.other <= a.limit:
            break
    sys.stdout.buffer.write(best[1].stdout)
    print(f"others used {best[0]:.1%} of the cores, {n + 1} tries", file=sys.stderr)
    return best[1].returncode


if __name__ == "__main__":
    sys.exit(main())
