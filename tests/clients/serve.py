# SPDX-License-Identifier: Apache-2.0
"""What the scripts of this folder share: a server in a with statement, checks that go on, and the last line."""
import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
import traceback

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "api"))
import run  # noqa: E402: the servers of tests/api

SAKER, MKTINY = os.environ.get("SAKER", "./saker"), os.environ.get("MKTINY", "tests/lib/mktiny")


@contextlib.contextmanager
def server(*flags, model=("--context", "8192"), environment=None):
    """`saker up` with nginx and a tiny model; gives its address. environment: a function of the model's path, which names it in a variable."""
    with tempfile.TemporaryDirectory(prefix="saker-clients-") as d:
        path = os.path.join(d, "tiny.gguf")
        subprocess.run([MKTINY, *model, path], check=True)
        more = environment(path) if environment else None
        s = run.Server(argparse.Namespace(saker=SAKER, web="nginx"), None if more else path, list(flags), more)
        try:
            if not s.wait_ready():
                raise RuntimeError("the server is not ready:\n" + s.words()[-3000:])
            yield s.url.geturl()
        finally:
            bad = s.stop()
        if bad:
            raise RuntimeError("the server " + bad)


cases = []


def case(f):
    """A check of the script's: its name is a sentence, its parameters are given by all_of()."""
    cases.append(f)
    return f


def all_of(*args, only=""):
    """Run the checks whose name begins with `only`; the number of those that failed."""
    failed = 0
    for f in cases:
        if not f.__name__.startswith(only):
            continue
        try:
            f(*args)
        except Exception:
            failed += 1
            print("FAIL", f.__name__.replace("_", " "))
            traceback.print_exc(limit=-3, file=sys.stdout)
    return failed


def done(name, failed, times=1):
    print(f"{name}: {len(cases) * times - failed} passed, {failed} failed")
    sys.exit(1 if failed else 0)
