#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Templates and what the jinja2 library makes of them, for test_jinja.

    make_jinja.py                      writes jinja.jsonl: the table below, and some random ones
    make_jinja.py --random N [SEED]    N random templates to stdout

Needs jinja2 3.1.6 and transformers, whose environment it is.
"""
import json
import os
import random
import sys

from jinja_env import environment, render

VARS = {
    "i": 7, "z": 0, "n": -3, "f": 2.5, "g": 1e20, "t": True, "no": False, "none_": None,
    "s": "Hello World", "e": "", "u": "Grüße, мир 🌍 straße", "q": "it's \"quoted\" \\ <b>&\n\ttab", "digits": "42", "fl": "3.14",
    "l": [3, 1, 2], "ls": ["b", "a", "C"], "le": [], "mix": [1, "a", None, True, 2.5, [1, 2], {"k": "v"}],
    "d": {"b": 1, "a": "x", "items": "shadow", "n": {"m": [1, {"deep": "yes"}]}}, "de": {},
    "ms": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"},
           {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "f", "arguments": {"x": 1, "y": "ü"}}}]},
           {"role": "tool", "content": "ok"}],
    "tree": [{"v": 1, "c": [{"v": 2, "c": []}, {"v": 3, "c": [{"v": 4, "c": []}]}]}, {"v": 5, "c": []}],
}


def table():
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "jinja_templates.txt")
    with open(path, encoding="utf-8", newline="") as f:
        return [t.replace("\\r", "\r") for t in f.read().split("\n====\n")][1:]


# ---- random templates ------------------------------------------------------------------------------------------

NAMES = list(VARS) + ["nope", "x", "y"]
METHODS = ["upper()", "lower()", "strip()", "title()", "split()", "split(' ')", "split('l', 1)", "rsplit('o', 1)", "startswith('H')",
           "endswith('d')", "replace('l', 'L')", "replace('', '-')", "find('o')", "rfind('o')", "count('l')", "items()", "keys()", "values()",
           "get('a')", "get('zz', 5)", "join(['a', 'b'])", "splitlines()", "capitalize()", "partition('o')", "rpartition('l')", "zfill(5)",
           "isdigit()", "isalpha()", "isupper()", "center(15)", "ljust(13, '.')", "swapcase()", "index(1)", "lstrip('H')", "rstrip('d')",
           "removeprefix('He')", "append(1)", "isspace()", "istitle()", "format(1, 2)", "casefold()", "expandtabs(4)", "copy()"]
FILTERS = ["upper", "lower", "trim", "length", "first", "last", "list", "join", "join(', ')", "default('D')", "default('D', true)", "tojson",
           "tojson(indent=2)", "string", "int", "float", "abs", "sort", "reverse|list", "unique|list", "sum", "min", "max", "title",
           "capitalize", "replace('o', '0')", "dictsort", "items|list", "round", "round(1)", "map('upper')|list", "select|list",
           "reject('none')|list", "selectattr('role', 'equalto', 'user')|list", "map(attribute='role')|list", "batch(2)|list",
           "slice(2)|list", "indent", "indent(2, true)", "truncate(8)", "wordcount", "escape", "urlencode", "groupby('role')|list",
           "sort(reverse=true)", "count", "safe", "center(9)", "format(1)", "attr('x')", "tojson(separators=(',', ':'))",
           "tojson(sort_keys=true)", "tojson(ensure_ascii=true)", "rejectattr('content')|list", "filesizeformat", "int(5)", "int(0, 16)",
           "striptags", "wordwrap(6)", "sum(start=1)", "sort(case_sensitive=true)", "map('default', 'q')|join('|')"]
TESTS = ["defined", "undefined", "none", "string", "number", "mapping", "sequence", "iterable", "true", "false", "boolean", "integer", "float",
         "odd", "even", "divisibleby 3", "in [1, 2, 3]", "eq 1", "ne 2", "gt 1", "lt(2)", "ge 2", "le 7", "sameas true", "lower", "upper",
         "callable", "equalto 'a'", "not none", "not defined", "not in l"]
OPS = ["+", "-", "*", "/", "//", "%", "**", "~", "==", "!=", "<", ">", "<=", ">=", "and", "or", "in", "not in"]
LITERALS = ["0", "1", "2", "3.5", "'a'", "'%s-%s'", "\"x'y\"", "[]", "[1, 2]", "{}", "{'a': 1, 'b': [2]}", "()", "(1,)", "(1, 'b')", "true",
            "none", "''", "'{}|{:>5}'", "-1", "10"]
SLICES = ["[0]", "[-1]", "[1:]", "[:2]", "[::-1]", "[1:-1]", "['a']", "[9]", "[::2]", ".a", ".role", ".n.m", "['n']", "[i]", "[:-1]", ".0"]


def expr(r, depth):
    if depth <= 0 or r.random() < 0.15:
        return r.choice(NAMES) if r.random() < 0.7 else r.choice(LITERALS)
    kind = r.randrange(9)
    if kind <= 1:
        return f"{expr(r, depth - 1)} {r.choice(OPS)} {expr(r, depth - 1)}"
    if kind == 2:
        return f"({expr(r, depth - 1)})|{r.choice(FILTERS)}"
    if kind == 3:
        return f"{r.choice(NAMES)}|{r.choice(FILTERS)}"
    if kind == 4:
        return f"{r.choice(NAMES)}.{r.choice(METHODS)}"
    if kind == 5:
        return f"{expr(r, depth - 1)} is {r.choice(TESTS)}"
    if kind == 6:
        return f"({expr(r, depth - 1)} if {expr(r, depth - 1)} else {expr(r, depth - 1)})"
    if kind == 7:
        return f"{r.choice(NAMES)}{r.choice(SLICES)}"
    return f"(not {expr(r, depth - 1)})" if r.random() < 0.4 else f"[{expr(r, depth - 1)}, {expr(r, depth - 1)}]"


def tag(r, text):
    return "{%" + r.choice(["", "", "-", "+"]) + " " + text + " " + r.choice(["", "", "-"]) + "%}"


def body(r, depth):
    return "".join(statement(r, depth - 1) for _ in range(r.randrange(1, 4)))


def statement(r, depth):
    gap = r.choice(["", " ", "\n", "  \n  ", "text ", "\n\n\t"])
    kind = r.randrange(11) if depth > 0 else r.randrange(3)
    if kind <= 1:
        return gap + "{{" + r.choice(["", "-", "+"][:2]) + " " + expr(r, 2) + " " + r.choice(["", "-"]) + "}}"
    if kind == 2:
        return gap + tag(r, f"set {r.choice(['x', 'y', 'i', 's'])} = {expr(r, 2)}")
    if kind <= 4:
        other = tag(r, "else") + body(r, depth) if r.random() < 0.4 else ""
        middle = tag(r, "elif " + expr(r, 1)) + body(r, depth) if r.random() < 0.3 else ""
        return gap + tag(r, f"if {expr(r, 2)}") + body(r, depth) + middle + other + tag(r, "endif")
    if kind <= 6:
        inner = body(r, depth) + r.choice(["", "{{ loop.index }}", "{{ loop.last }}{{ loop.revindex }}", "{{ loop.cycle('a', 'b') }}",
                                           tag(r, "if loop.first") + tag(r, r.choice(["continue", "break"])) + tag(r, "endif"),
                                           "{{ loop.previtem }}{{ loop.nextitem is defined }}", "{{ loop.changed(x) }}"])
        test = f" if {expr(r, 1)}" if r.random() < 0.2 else ""
        over = r.choice(["l", "ls", "ms", "range(3)", "d", "d.items()", "e", "s", "nope", "le", "l|sort", "mix"])
        target = "k, x" if over == "d.items()" else "x"
        return gap + tag(r, f"for {target} in {over}{test}") + inner + (tag(r, "else") + "none" if r.random() < 0.2 else "") + tag(r, "endfor")
    if kind == 7:
        name = r.choice(["m1", "m2"])
        return (gap + tag(r, f"macro {name}(a, b={expr(r, 1)})") + "{{ a }}" + body(r, depth - 1) + "{{ b }}" + tag(r, "endmacro") +
                "{{ " + name + f"({expr(r, 1)}) " + "}}")
    if kind == 8:
        return gap + "{# a comment" + r.choice(["", "-"]) + "#}" + tag(r, "set y") + body(r, depth - 1) + tag(r, "endset") + "{{ y }}"
    if kind == 9:
        return (gap + tag(r, f"set ns = namespace(v={expr(r, 1)})") + tag(r, "for q in l") + tag(r, "set ns.v = ns.v ~ q") +
                tag(r, "endfor") + "{{ ns.v }}")
    return gap + tag(r, f"with w = {expr(r, 1)}") + "{{ w }}" + body(r, depth - 1) + tag(r, "endwith")


def randoms(n, seed):
    r = random.Random(seed)
    made = 0
    while made < n:
        t = "".join(statement(r, 3) for _ in range(r.randrange(1, 4)))
        c = case(t, keep=False)
        if c:
            made += 1
            yield c


def case(template, keep=True):
    """The case of a template; None: its answer is one that nobody needs to give (addresses, integers beyond 64 bits)."""
    used = {k: v for k, v in VARS.items() if k in template}
    kind, text = render(environment(), template, used)
    if not keep and ((kind == "o" and (" at 0x" in text or "object>" in text or "<built-in" in text or "Markup(" in text or len(text) > 4000)) or
                     too_big(kind, text)):
        return None
    if kind == "e":
        text = text if keep and template.startswith("{# error ") else ""
    return json.dumps({"t": template, "v": used, kind: text}, ensure_ascii=False)


def too_big(kind, text):
    digits = 0
    for c in text:
        digits = digits + 1 if c.isdigit() else 0
        if digits >= 19:
            return True
    return False


def main():
    if len(sys.argv) > 2 and sys.argv[1] == "--random":
        for line in randoms(int(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 1):
            print(line)
        return
    here = os.path.dirname(os.path.abspath(__file__))
    with open(os.path.join(here, "jinja.jsonl"), "w", encoding="utf-8") as out:
        for t in table():
            out.write(case(t) + "\n")
        for line in randoms(200, 9):
            out.write(line + "\n")


if __name__ == "__main__":
    main()
