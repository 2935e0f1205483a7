# SPDX-License-Identifier: Apache-2.0
# packages: schemathesis==4.32.5
"""schemathesis, which makes requests out of /openapi.json, fit and unfit: no server error, no answer that the document does not have."""
import os
import subprocess
import sys

from serve import all_of, case, done, server

HERE = os.path.dirname(os.path.abspath(__file__))
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"


@case
def every_answer_is_documented(url, dialect):
    r = subprocess.run([os.path.join(os.path.dirname(sys.executable), "python3"), "-m", "schemathesis.cli", "--config-file",
                        os.path.join(HERE, "schemathesis.toml"), "run", url + "/openapi.json", "--checks", CHECKS, "--no-color"],
                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300)
    assert r.returncode == 0 and "cases" in r.stdout, r.stdout[-6000:]
    print(dialect, next(line for line in r.stdout.split("\n") if "generated" in line).strip())


def main():
    failed = 0
    dialects = sys.argv[1:] or ["saker"]
    for dialect in dialects:
        with server("--compat", dialect) as url:
            failed += all_of(url, dialect)
    done("fuzz_http", failed, len(dialects))


main()
