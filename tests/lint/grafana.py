# SPDX-License-Identifier: Apache-2.0
"""What etc/grafana names is there: metrics, their kinds, labels and values of labels, against fcgi/metrics.def.

    grafana.py [TREE]           one line for each fault, exit 1
    grafana.py --self-test      spoilt expressions are found
    grafana.py --rules          the dashboard's expressions as rules, for promtool check rules
"""
import json, os, re, sys

KINDS = {"COUNTER": [""], "GAUGE": [""], "INFO": [""], "HISTOGRAM": ["_bucket", "_sum", "_count"], "SUMMARY": ["_sum", "_count"]}
COMMON = {"job", "instance", "le"}
BUILD = {"version", "model", "architecture", "quantization", "backend", "isa", "calculation", "kv_dtype"}
WORDS = {"sum", "by", "rate", "histogram_quantile", "changes", "label_values", "up", "job", "instance", "le"}


def table(tree):
    """{series name: (kind, label, its values)}"""
    rows = re.findall(r'^SK_METRIC\(\w+,\s*"(\w+)",\s*(\w+),\s*"(\w*)",\s*"([^"]*)"', open(os.path.join(tree, "fcgi/metrics.def")).read(), re.M)
    return {name + end: (kind, label, set(values.split())) for name, kind, label, values in rows for end in KINDS[kind]}


def faults(expr, known):
    out = []
    for name, selector in re.findall(r"\b([a-z_][a-z0-9_]*)\b(?:\{([^}]*)\})?(?![\w(=~\"])", re.sub(r'"[^"]*"', lambda m: m[0], expr)):
        if name in WORDS or name.startswith("__") or not re.match("(tgi|saker)_", name):
            continue
        if name not in known:
            out.append("%s is no series of fcgi/metrics.def" % name)
            continue
        kind, label, values = known[name]
        for key, op, value in re.findall(r'(\w+)\s*(=~|!=|!~|=)\s*"([^"]*)"', selector):
            if key not in COMMON | {label} | (BUILD if kind == "INFO" else set()):
                out.append("%s has no label %s" % (name, key))
            elif key == label and values and not value.startswith("$") and not set(value.split("|")) <= values:
                out.append("%s: %s is never %s" % (name, key, value))
        counter = kind in ("COUNTER", "HISTOGRAM", "SUMMARY")
        rated = re.search(r"(rate|changes)\(%s(\{[^}]*\})?\[" % name, expr)
        if counter and not rated:
            out.append("%s grows: it wants a rate" % name)
        if not counter and rated and "changes(" not in expr:
            out.append("%s is no counter: it has no rate" % name)
    return out


def legends(panel, known):
    """{{label}} of a legend is among the labels that the expression keeps."""
    for t in panel.get("targets", []):
        kept = re.search(r"by \(([^)]*)\)", t["expr"])
        for label in re.findall(r"\{\{(\w+)\}\}", t["legendFormat"]):
            if kept and label not in re.split(r", *", kept[1]):
                yield "the legend names %s, which %s drops" % (label, t["expr"])


def overlaps(panels):
    taken = {}
    for p in panels:
        g = p["gridPos"]
        for x in range(g["x"], g["x"] + g["w"]):
            for y in range(g["y"], g["y"] + g["h"]):
                if (x, y) in taken or x >= 24:
                    yield "%r lies on %r" % (p["title"], taken.get((x, y), "the edge"))
                    return
                taken[x, y] = p["title"]


def check(tree):
    known, out = table(tree), []
    dashboard = json.load(open(os.path.join(tree, "etc/grafana/saker.json")))
    panels = dashboard["panels"]
    exprs = [("panel %r" % p["title"], t["expr"]) for p in panels for t in p.get("targets", [])]
    exprs += [("variable", v["definition"]) for v in dashboard["templating"]["list"] if "definition" in v]
    rules = open(os.path.join(tree, "etc/grafana/alerts.yml")).read().split("      - alert: ")[1:]
    for rule in rules:
        name = rule.split("\n")[0]
        exprs.append(("rule " + name, re.search(r"^        expr: (.*)$", rule, re.M)[1]))
        for wanted in "severity:", "summary:", "description:":
            if wanted not in rule:
                out.append("rule %s has no %s" % (name, wanted))
        if 'alertname="%s"' % name not in open(os.path.join(tree, "tests/lint/alerts_test.yml")).read():
            out.append("rule %s never fires in tests/lint/alerts_test.yml" % name)
    out += ["%s: %s" % (where, fault) for where, expr in exprs for fault in faults(expr, known)]
    out += ["panel %r: %s" % (p["title"], fault) for p in panels for fault in legends(p, known)]
    out += list(overlaps(panels))
    if len({p["id"] for p in panels}) != len(panels):
        out.append("two panels have one id")
    unseen = {n for n in re.findall(r'^SK_METRIC\(\w+,\s*"(saker_\w+)"', open(os.path.join(tree, "fcgi/metrics.def")).read(), re.M)
              if not any(n in e for _, e in exprs)} - {"saker_accepted_connections_total"}
    out += ["no panel and no rule shows %s" % n for n in sorted(unseen)]
    assert len(exprs) > 50, "only %d expressions were found" % len(exprs)
    return out


def self_test(tree):
    known = table(tree)
    good = ['sum by (job) (rate(saker_refusals_total{reason=~"overloaded|deadline",job="x"}[5m]))', "tgi_queue_size > 2 * (tgi_batch_current_size + 1)",
            "histogram_quantile(0.9, sum by (le) (rate(saker_queue_wait_seconds_bucket[5m])))", 'saker_build_info{model="x"}', "changes(saker_start_time_seconds[5m]) > 1"]
    bad = ["saker_queue_size", "rate(saker_refusals_total{kind=\"x\"}[5m])", 'rate(saker_refusals_total{reason="late"}[5m])', "saker_queue_wait_seconds", "saker_refusals_total > 1",
           "rate(saker_kv_blocks[5m])", 'saker_state{state="redy"} == 1', "rate(saker_queue_wait_seconds_buckets[5m])"]
    for expr in good:
        assert not faults(expr, known), (expr, faults(expr, known))
    for expr in bad:
        assert faults(expr, known), "%s was not found" % expr
    box = lambda x, w: {"title": str(x), "gridPos": {"x": x, "y": 0, "w": w, "h": 2}}
    assert list(overlaps([box(0, 8), box(7, 8)])) and list(overlaps([box(20, 8)])) and not list(overlaps([box(0, 8), box(8, 8)]))
    assert list(legends({"targets": [{"expr": "sum by (le) (x)", "legendFormat": "{{key}}"}]}, known))


def as_rules(tree):
    """Every expression of the dashboard, its variables replaced."""
    print("groups:\n  - name: dashboard\n    rules:")
    for i, p in enumerate(json.load(open(os.path.join(tree, "etc/grafana/saker.json")))["panels"]):
        for k, t in enumerate(p.get("targets", [])):
            expr = t["expr"].replace("$__rate_interval", "5m").replace("$job", ".*").replace("$instance", ".*")
            print("      - {record: 'panel:p%d:e%d', expr: '%s'}" % (i, k, expr))


if __name__ == "__main__":
    here = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
    self_test(here)
    if sys.argv[1:] == ["--rules"]:
        as_rules(here)
        sys.exit(0)
    found = [] if sys.argv[1:] == ["--self-test"] else check(sys.argv[1] if sys.argv[1:] else here)
    print("\n".join(found))
    sys.exit(1 if found else 0)
