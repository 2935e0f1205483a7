#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Plots of measurements as SVG, without any library; they follow the reader's light or dark theme.

    plot.py streams tests/gpu/RESULTS.md >tests/bench/plots/streams-gpu.svg     tokens per second by streams at once, of the newest run there
    plot.py beside SAMPLES.json >FILE.svg                                       saker beside its peer, of compare.py --json
    plot.py --self-test
"""
import html, json, math, os, re, statistics, sys

W, H, LEFT, RIGHT, TOP, BOTTOM = 720, 380, 70, 20, 64, 56
STYLE = """text { font: 14px system-ui, sans-serif; fill: #1c1f24 } .soft { fill: #585f69; font-size: 12px } .head { font-size: 17px; font-weight: 600 }
.axis, .grid { stroke: #7a818c } .grid { stroke-opacity: .25 } .ours { fill: #0b5cad } .theirs { fill: #b06000 } .line { fill: none; stroke: #0b5cad; stroke-width: 2.5 } .ground { fill: #fff }
@media (prefers-color-scheme: dark) { text { fill: #e9ebee } .soft { fill: #a9b0ba } .ours { fill: #84baf5 } .theirs { fill: #f0b060 } .line { stroke: #84baf5 } .ground { fill: #1d2126 } }"""
# What compare.py calls its samples: (label, ours, the peer's)
BESIDE = [("prompt 512", "saker t2 pp512", "llama t2 pp512"), ("decode 128", "saker t2 tg128", "llama t2 tg128"), ("1 stream", "saker c1", "llama c1"),
          ("8 streams", "saker c8", "llama c8"), ("32 streams", "saker c32", "llama c32")]


def nice(most):
    """(step, top) of an axis with four to eight lines."""
    step = 10 ** math.floor(math.log10(most / 4))
    step *= next(m for m in (1, 2, 5, 10) if most / (step * m) <= 8)
    return step, step * math.ceil(most / step)


def frame(title, note, top, step, unit, body):
    y = lambda v: H - BOTTOM - v / top * (H - TOP - BOTTOM)
    out = ['<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" role="img" aria-labelledby="t d">' % (W, H),
           '<title id="t">%s</title><desc id="d">%s</desc><style>%s</style>' % (html.escape(title), html.escape(note), STYLE),
           '<rect class="ground" width="%d" height="%d" rx="8"/>' % (W, H), '<text class="head" x="%d" y="26">%s</text>' % (LEFT - 50, html.escape(title)),
           '<text class="soft" x="%d" y="46">%s</text>' % (LEFT - 50, html.escape(unit))]
    for k in range(round(top / step) + 1):
        v = k * step
        out.append('<path class="grid" d="M%d %.1fH%d"/><text class="soft" x="%d" y="%.1f" text-anchor="end">%s</text>' % (LEFT, y(v), W - RIGHT, LEFT - 8, y(v) + 4, "{:,g}".format(v)))
    out.append('<path class="axis" d="M%d %.1fH%d"/>' % (LEFT, y(0), W - RIGHT))
    out += body(y)
    out.append('<text class="soft" x="%d" y="%d">%s</text></svg>' % (LEFT - 50, H - 10, html.escape(note)))
    return "\n".join(out) + "\n"


def newest_streams(text):
    """(the run's heading, what was measured, [(streams, tokens per second)]) of the first run that has a table of streams."""
    for run in re.split(r"(?m)^## ", text)[1:]:
        points = sorted({(int(n), float(v)) for n, v in re.findall(r"(?m)^\| *(\d+) streams?[^|]*\| *([\d.]+) tok/s", run)})
        shape = re.search(r"(?m)^Speed, (.*?)[(.]", run)
        if len(points) > 2:
            return run.split("\n")[0].strip(), shape[1].strip(" ,") if shape else "", points
    raise SystemExit("no run has a table of streams")


def streams(path):
    head, shape, points = newest_streams(open(path).read())
    step, top = nice(max(v for _, v in points))
    x = lambda n: LEFT + 30 + math.log2(n) / math.log2(points[-1][0]) * (W - LEFT - RIGHT - 70)

    def body(y):
        yield '<path class="line" d="M%s"/>' % "L".join("%.1f %.1f" % (x(n), y(v)) for n, v in points)
        for n, v in points:
            yield '<circle class="ours" cx="%.1f" cy="%.1f" r="4.5"/><text x="%.1f" y="%.1f" text-anchor="middle">%s</text>' % (x(n), y(v), x(n), y(v) - 11, "{:,.0f}".format(v))
            yield '<text class="soft" x="%.1f" y="%d" text-anchor="middle">%d</text>' % (x(n), H - BOTTOM + 18, n)
    return frame("Tokens per second by streams at once", head, top, step, ("%s; streams of 64 + 64 tokens" % shape).strip("; "), body)


def beside(path):
    said = json.load(open(path))
    samples = {k: statistics.median(v) for k, v in said["samples"].items() if v}
    rows = [(label, samples.get(a), samples.get(b)) for label, a, b in BESIDE if a in samples]
    assert rows, "%s holds none of %s" % (path, [a for _, a, _ in BESIDE])
    step, top = nice(max(v for row in rows for v in row[1:] if v))
    wide = (W - LEFT - RIGHT) / len(rows)

    def body(y):
        for i, (label, *values) in enumerate(rows):
            for k, (v, kind) in enumerate(zip(values, ("ours", "theirs"))):
                if v:
                    left = LEFT + i * wide + wide * (.14 + .37 * k)
                    yield '<rect class="%s" x="%.1f" y="%.1f" width="%.1f" height="%.1f"/>' % (kind, left, y(v), wide * .34, y(0) - y(v))
                    yield '<text class="soft" x="%.1f" y="%.1f" text-anchor="middle">%s</text>' % (left + wide * .17, y(v) - 5, "{:,.0f}".format(v))
            yield '<text class="soft" x="%.1f" y="%d" text-anchor="middle">%s</text>' % (LEFT + (i + .5) * wide, H - BOTTOM + 18, label)
        for k, (kind, name) in enumerate((("ours", "saker"), ("theirs", "llama.cpp"))):
            yield '<rect class="%s" x="%d" y="34" width="12" height="12"/><text class="soft" x="%d" y="45">%s</text>' % (kind, W - 220 + 100 * k, W - 202 + 100 * k, name)
    busy = statistics.median(said["other"]) if said.get("other") else 0
    note = "%d cores, medians of %d rounds; others used %.0f %% of the cores" % (said["cores"], said["rounds"], busy * 100)
    return frame("saker beside llama.cpp", note, top, step, "tokens per second", body)


def self_test():
    import tempfile
    import xml.etree.ElementTree as tree
    with tempfile.TemporaryDirectory() as d:
        with open(d + "/r.md", "w") as f:
            f.write("# X\n\n## nothing here\n\n## day, <GPU>\n\nSpeed, a shape (x).\n\n| decode | 5 tok/s |\n| 1 stream 64 + 64 | 139.8 tok/s | |\n| 8 streams | 917.8 tok/s | |\n| 32 streams | 1988 tok/s |\n\n## older\n\n| 64 streams | 9 tok/s |\n")
        assert newest_streams(open(d + "/r.md").read()) == ("day, <GPU>", "a shape", [(1, 139.8), (8, 917.8), (32, 1988.0)])
        with open(d + "/s.json", "w") as f:
            json.dump({"cores": 2, "rounds": 3, "other": [.01], "samples": {BESIDE[0][1]: [10, 30, 20], BESIDE[0][2]: [15], BESIDE[3][1]: [100]}}, f)
        for text, circles, bars in ((streams(d + "/r.md"), 3, 1), (beside(d + "/s.json"), 0, 1 + 3 + 2)):
            svg = tree.fromstring(text)
            count = lambda name: len(svg.findall("{http://www.w3.org/2000/svg}" + name))
            assert (count("circle"), count("rect")) == (circles, bars), text
    assert nice(3428) == (500, 3500) and nice(9) == (2, 10) and nice(100) == (20, 100), (nice(3428), nice(9), nice(100))


if __name__ == "__main__":
    words = sys.argv[1:]
    if words == ["--self-test"]:
        self_test()
    elif len(words) == 2 and words[0] in ("streams", "beside"):
        sys.stdout.write({"streams": streams, "beside": beside}[words[0]](words[1]))
    else:
        sys.exit(__doc__)
