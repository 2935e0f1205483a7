# SPDX-License-Identifier: Apache-2.0
"""A GPU that fails while requests run: they get TGI's 424, /readyz turns 503, the process ends with an exit code of its own.

    device.py SAKER MODEL     the emulated GPU; SK_EMU_FAIL says how it fails, a file says when
"""
import json, os, sys, time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from front import *

EXIT_DEVICE = 75
ERROR = b'{"error":"Request failed during generation: the device failed","error_type":"generation"}'


def gen(tokens):
    return {"inputs": "hello", "parameters": {"max_new_tokens": tokens, "ignore_eos_token": True}}


def first_bytes(peer):
    out = b""
    while b"data: " not in out:
        kind, _, content = peer.record()
        assert kind == STDOUT, "the stream ended before it began: %r" % out
        out += content
    return out


def fails(argv, how, words):
    """One that streams, one that does not, and one whose body has not come: it keeps the process while /readyz is asked."""
    trigger = os.path.join(tempfile.mkdtemp(prefix="saker-device-"), "now")
    env = {"SK_EMU_FAIL": how, "SK_EMU_FAIL_WHEN": trigger}
    with Server(argv, flags=["--device-timeout-ms", "1500"], env=env) as srv, Peer(srv.path) as streams, Peer(srv.path) as waits, \
            Peer(srv.path) as half:
        streams.send(request("POST", "/generate_stream", gen(400)))
        waits.send(request("POST", "/generate", gen(400)))
        half.send(begin() + stream(PARAMS, 1, params("POST", "/generate")) + record(STDIN, 1, b"{"))
        out = first_bytes(streams)
        began = time.monotonic()
        open(trigger, "w").close()
        status, headers, body, _ = waits.answer()
        assert (status, body) == (424, ERROR), (status, body)
        while True:
            kind, _, content = streams.record()
            if kind == END:
                break
            out += content
        assert out.rstrip().endswith(b"data: " + ERROR), out[-300:]
        status, _, body, _ = fcgi(srv.path, "GET", "/readyz")
        assert status == 503 and json.loads(body)["status"] == "failed", (status, body)
        assert fcgi(srv.path, "GET", "/livez")[0] == 503
        half.s.close()
        assert srv.code() == EXIT_DEVICE, srv.code()
        assert time.monotonic() - began < 10, "it took %.1f s" % (time.monotonic() - began)
        line = [l for l in srv.log().split("\n") if " error " in l and "device cuda-emu:0 (saker CUDA emulator" in l]
        assert line and words in line[0], srv.log()[-2000:]
        srv.p.returncode = 0
        shutil.rmtree(os.path.dirname(trigger))


def an_illegal_access_ends_the_process(argv):
    fails(argv, "illegal", "an illegal memory access was encountered (cudaErrorIllegalAddress)")


def a_device_out_of_memory_ends_the_process(argv):
    fails(argv, "memory", "out of memory (cudaErrorMemoryAllocation)")


def a_lost_device_ends_the_process(argv):
    fails(argv, "lost", "unspecified launch failure (cudaErrorLaunchFailure)")


def a_device_that_never_answers_ends_the_process(argv):
    fails(argv, "hang", "a step has not come back within 1500 ms (device-timeout-ms)")


def whatever_fails_first_says_so(argv):
    """Each of the first launches, copies and waits in turn, then fewer and fewer of them, until nothing fails."""
    n, tried = 1, 0
    while True:
        p = subprocess.run([argv[0], "generate"] + argv[1:] + ["--max-new-tokens", "2", "hello"], stdout=subprocess.PIPE,
                           stderr=subprocess.STDOUT, env=dict(os.environ, SK_EMU_FAIL_AFTER=str(n)), timeout=DEADLINE)
        if p.returncode == 0:
            break
        assert p.returncode == EXIT_DEVICE, (n, p)
        assert b"an illegal memory access was encountered" in p.stdout, (n, p)
        tried, n = tried + 1, n + 1 if n < 24 else n * 5 // 4
    assert tried > 24 and n < 100000, (tried, n)


def what_was_found_is_told_in_one_line(argv):
    with Server(argv, env={"SK_EMU_DEVICES": 2}) as srv:
        told = [l for l in srv.log().split("\n") if " info device cuda-emu:0: saker CUDA emulator, 1024 MiB, sm_80; there is cpu" in l]
        assert len(told) == 1 and "cuda-emu:1 saker CUDA emulator (sm_80, 1024 MiB)" in told[0], srv.log()


TESTS = [an_illegal_access_ends_the_process, a_device_out_of_memory_ends_the_process, a_lost_device_ends_the_process,
         a_device_that_never_answers_ends_the_process, whatever_fails_first_says_so,
         what_was_found_is_told_in_one_line]

if __name__ == "__main__":
    sys.exit(main(TESTS))
