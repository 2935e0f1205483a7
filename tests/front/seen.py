# SPDX-License-Identifier: Apache-2.0
"""The pages of etc/www as people meet them: in Chromium, behind nginx.

    seen.py BINARY [FLAGS...]

BINARY is tests/front/saker-double, whose clock makes 429, stops and lost connections certain, or saker with a model.
SAKER_TEST_ONLY=reads_well chooses a case, SAKER_TEST_SHOTS=DIR keeps pictures of the pages.
"""

import base64, hashlib, json, os, re, subprocess, sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from front import *
from webs import *
from chromium import Chromium

AUDIT = open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "audit.js")).read()
PAGE_MAX = 150000
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"


def serve(argv, flags=(), env=None, **k):
    return Server(argv, flags=list(flags), env=dict({"SAKER_DOUBLE_RATE": 200}, **(env or {})), **k)


def is_double(argv):
    return "double" in os.path.basename(argv[0])


def front(srv, **k):
    return Web("nginx", srv.path, **k)


def url(web, path="/"):
    return "http://127.0.0.1:%d%s" % (web.port, path)


def opened(browser, web, path="/", tab="#tab-raw", **k):
    """The playground, at completion: chat, which comes first, has a case of its own."""
    page = browser.page(url(web, path), **k)
    page.wait("document.querySelector('#go') && !document.querySelector('#go').disabled")
    if tab:
        page.click(tab)
    return page


def parameter(page, name, value):
    page.eval("document.querySelector('#parameters-box').open = true")
    page.fill("#p-raw-" + name, value)


def generate(page, prompt, tokens):
    page.fill("#prompt", prompt)
    parameter(page, "max_new_tokens", str(tokens))
    page.click("#go")


def ended(page):
    page.wait(
        "document.querySelector('.answer') && !document.querySelector('.answer[aria-busy]') && document.querySelector('#stop').disabled"
    )


def tokens_of(page, which=".answer"):
    return page.eval("document.querySelectorAll('%s .t').length" % which)


def clean(page, web, expected=()):
    """Nothing on the console but the statuses that the case asked for, and no request to anybody else."""
    left = [e for e in page.errors if not (e[0] == "network" and any("status of %d" % s in e[1] for s in expected))]
    if 0 in expected:
        left = [e for e in left if e[0] != "network" or "ERR_" not in e[1]]
    assert not left, left
    other = [u for _, u in page.requests if not u.startswith((url(web), "data:", "about:"))]
    assert not other, "asked somebody else: %s" % other


def names(page):
    """Controls without a name, in Chromium's own accessibility tree."""
    roles = {
        "button",
        "link",
        "textbox",
        "checkbox",
        "radio",
        "combobox",
        "tab",
        "switch",
        "slider",
        "spinbutton",
        "searchbox",
        "DisclosureTriangle",
        "dialog",
        "region",
        "navigation",
        "complementary",
        "group",
        "progressbar",
        "img",
        "image",
    }
    out = []
    for n in page.call("Accessibility.getFullAXTree")["nodes"]:
        role = n.get("role", {}).get("value")
        focusable = any(p["name"] == "focusable" and p["value"].get("value") for p in n.get("properties", []))
        if (
            not n.get("ignored")
            and role in roles
            and (focusable or role not in ("group", "button"))
            and not n.get("name", {}).get("value", "").strip()
        ):
            out.append("no name: %s" % role)
    return out


def audit(page, what):
    faults = page.eval(AUDIT) + names(page)
    assert not faults, "%s:\n  %s" % (what, "\n  ".join(faults[:20]))


def picture(page, name, whole=False):
    if os.environ.get("SAKER_TEST_SHOTS"):
        page.shot(os.path.join(os.environ["SAKER_TEST_SHOTS"], name + ".png"), whole)


# ---- without a browser --------------------------------------------------------------------------------------------------


def browsers_get_the_page_and_programs_keep_their_answer(argv):
    html = [BROWSER, "text/html", "TEXT/HTML;level=1", "*/*;q=0.1, text/html;q=0.5", "application/json,text/html"]
    plain = [
        None,
        "",
        "*/*",
        "application/json",
        "text/*",
        "text/htmlx",
        "xtext/html",
        "text/html;q=0",
        "text/html; q=0.000",
        "application/xhtml+xml",
    ]
    with serve(argv) as srv:

        def get(accept, method="GET", path="/"):
            return fcgi(srv.path, method, path, more=[] if accept is None else [(b"HTTP_ACCEPT", accept.encode())])

        for accept in html:
            status, h, body, _ = get(accept)
            assert (status, h["content-type"], h["vary"]) == (200, "text/html; charset=utf-8", "accept"), (
                accept,
                status,
                h,
            )
            assert body.startswith(b"<!doctype html>") and len(body) < PAGE_MAX, (accept, len(body))
        for accept in plain:
            status, h, body, _ = get(accept)
            assert (status, body) == (200, b"") and "content-type" not in h and h["vary"] == "accept", (
                accept,
                status,
                h,
                body[:50],
            )
        assert get(BROWSER, "HEAD")[2] == b"" and int(get(BROWSER, "HEAD")[1]["content-length"]) > 10000
        assert get(BROWSER, "POST")[0] != 200
        for path in "/", "/docs":
            _, h, body, _ = get(BROWSER, path=path)
            policy = h["content-security-policy"]
            for tag in "script", "style":
                inside = re.findall(b"<%s>(.*?)</%s>" % (tag.encode(), tag.encode()), body, re.S)
                digest = base64.b64encode(hashlib.sha256(inside[0]).digest()).decode()
                assert len(inside) == 1 and "%s-src 'sha256-%s'" % (tag, digest) in policy, (path, tag, policy)
            assert "unsafe" not in policy and "default-src 'none'" in policy and len(body) < PAGE_MAX, (path, policy)
            assert not re.search(rb"<link(?![^>]*href=\"data:)|<script .*src|@import|\burl\(", body), path
    with serve(argv, flags=["--no-pages"]) as srv:
        assert get(BROWSER)[2] == b"" and get(BROWSER, path="/docs")[0] == 404


def a_browser_sees_the_health_of_the_server_too(argv):
    """Some libraries for HTTP name text/html: the status says what /health says."""
    double_only(argv)
    with serve(argv, env={"SAKER_DOUBLE_LOAD_MS": 3600000}, ready=False) as srv:
        status, h, body, _ = fcgi(srv.path, "GET", "/", more=[(b"HTTP_ACCEPT", BROWSER.encode())])
        assert status == 503 and body.startswith(b"<!doctype html>") and int(h["retry-after"]) > 0, (status, h)


# ---- in Chromium ------------------------------------------------------------------------------------------------------


def an_answer_comes_token_by_token(argv):
    with serve(argv) as srv, front(srv) as web, Chromium() as b:
        page = opened(b, web)
        generate(page, "My name is", 40)
        page.wait("document.querySelectorAll('.answer .t').length > 3")
        ended(page)
        got = tokens_of(page)
        assert 0 < got <= 40, got
        page.hover(".answer .t")
        page.wait("!document.querySelector('#tip').hidden && document.querySelector('#tip').innerText.includes('%')")
        picture(page, "answer")
        # Nothing more is known of this dialect than its document says.
        fields = page.eval("[...document.querySelectorAll('#parameters .field')].length")
        spec = json.loads(http(web.port, "GET", "/openapi.json")[2])
        assert fields == len(spec["components"]["schemas"]["GenerateParameters"]["properties"]), fields
        for name, s in spec["components"]["schemas"]["GenerateParameters"]["properties"].items():
            assert s["description"] in page.eval("document.querySelector('#parameters').textContent"), name
        clean(page, web)


def a_server_without_chat_says_so(argv):
    with serve(argv) as srv, front(srv) as web, Chromium() as b:
        spec = json.loads(http(web.port, "GET", "/openapi.json")[2])
        spec["paths"].pop("/v1/chat/completions")
        page = b.page()
        page.answer(["*/openapi.json"], lambda r: (200, "application/json", json.dumps(spec).encode()))
        page.goto(url(web))
        page.wait("!document.querySelector('#go').disabled")
        assert page.eval("document.querySelector('#tab-chat').hidden") and "no chat" in page.text("#no-chat")
        generate(page, "My name is", 5)
        ended(page)
        assert tokens_of(page) > 0


def all_of_it_works_without_a_mouse(argv):
    with serve(argv) as srv, front(srv) as web, Chromium() as b:
        page = opened(b, web, tab=None)
        active = lambda: page.eval(
            "document.activeElement.id || document.activeElement.className || document.activeElement.tagName"
        )
        page.key("Tab")
        assert active() == "skip", active()
        page.key("Enter")
        page.wait("document.activeElement.id == 'main'")
        page.key("Tab")
        assert active() == "tab-chat", active()
        page.key("ArrowRight")
        assert active() == "tab-raw", active()
        page.key("ArrowRight")
        assert active() == "tab-mark" and page.eval("!document.querySelector('#panel-mark').hidden"), active()
        page.key("ArrowLeft")
        page.key("Tab")
        assert active() == "prompt", active()
        page.type("My name is")
        page.key("Enter", ctrl=True)
        page.wait("document.querySelectorAll('.answer .t').length > 2")
        page.key("Escape")
        ended(page)
        assert "Stopped" in page.text(".answer") or tokens_of(page) > 2
        seen = set()
        while "text" not in seen:
            page.key("Tab")
            seen.add(active())
            assert len(seen) < 60, seen
        assert {"go", "again", "fresh", "show-tokens", "as-code"} <= seen, seen
        page.key("ArrowRight")
        page.wait("!document.querySelector('#tip').hidden && document.querySelector('#say').textContent != ''")
        # A dialog keeps the keyboard, and gives it back.
        page.eval("document.querySelector('#history').focus()")
        page.key("Enter")
        page.wait("document.querySelector('#history-dialog').open")
        page.key("Escape")
        page.wait("!document.querySelector('#history-dialog').open && document.activeElement.id == 'history'")
        clean(page, web)


def everybody_can_read_it(argv):
    """Contrast, names, labels, landmarks, sizes, in both themes, at 1280 and at 360 pixels; and the audit finds what is wrong."""
    with serve(argv) as srv, front(srv) as web, Chromium() as b:
        page = opened(b, web)
        generate(page, "My name is", 24)
        ended(page)
        page.eval(
            "document.querySelector('#colours').click(); document.querySelectorAll('details').forEach(d => { d.open = true; })"
        )
        docs = b.page(url(web, "/docs"))
        docs.wait("document.querySelectorAll('.operation').length > 5")
        docs.eval("document.querySelectorAll('details').forEach(d => { d.open = true; })")
        docs.wait("document.querySelectorAll('form.try').length > 5")
        for scheme in "light", "dark":
            for width in 1280, 360:
                for p, what in (page, "playground"), (docs, "docs"):
                    p.view(width, 800, scheme, touch=width == 360)
                    audit(p, "%s, %s, %d pixels" % (what, scheme, width))
                    picture(p, "%s-%s-%d" % (what, scheme, width))
                for tab in "mark", "card", "raw":
                    page.eval("document.querySelector('#tab-%s').click()" % tab)
                    audit(page, "tab %s, %s, %d pixels" % (tab, scheme, width))
        for dialog in "history", "key", "as-code":
            page.eval("document.querySelector('#%s').click()" % dialog)
            audit(page, dialog)
            page.eval("document.querySelector('dialog[open]').close()")
        for spoil, word in (
            ("document.querySelector('label[for=prompt]').remove()", "no label"),
            ("document.querySelector('#again').textContent = ''", "no name: button"),
            ("document.querySelector('#model').style.color = '#777'", "contrast"),
            ("document.querySelector('#fresh').id = 'go'", "an id twice"),
            ("document.querySelector('main').style.width = '2000px'", "wider than the window"),
            ("document.querySelector('#stop').style.cssText = 'min-height: 0; height: 10px; padding: 0'", "pixels"),
        ):
            page.eval(spoil)
            found = page.eval(AUDIT) + names(page)
            assert any(word in f for f in found), (word, found)
        clean(page, web)
        clean(docs, web)


def a_generation_is_stopped_continued_and_made_again(argv):
    with serve(argv, env={"SAKER_DOUBLE_RATE": 50}) as srv, front(srv) as web, Chromium() as b:
        page = opened(b, web)
        generate(page, "Once", 400)
        page.wait("document.querySelectorAll('.answer .t').length > 5")
        page.click("#stop")
        ended(page)
        before = tokens_of(page)
        assert before < 400 and "Stopped" in page.text(".answer"), before
        wait_for(
            "the server has nothing to do", lambda: b"\nsaker_open_streams 0\n" in http(web.port, "GET", "/metrics")[2]
        )
        parameter(page, "max_new_tokens", "7")
        asked = []
        page.answer(["*/generate_stream"], lambda r: asked.append(json.loads(r["postData"])))
        page.click(".answer button.more")
        ended(page)
        assert asked[0]["inputs"].startswith("Once") and len(asked[0]["inputs"]) > len("Once") + 4, asked
        assert tokens_of(page) > before
        page.click("#again")
        ended(page)
        assert (
            asked[1]["inputs"] == "Once" and asked[1]["parameters"]["max_new_tokens"] == 7 and tokens_of(page) <= 7
        ), asked[1]
        clean(page, web)


def parameters_are_sent_as_they_are_given(argv):
    with serve(argv) as srv, front(srv) as web, Chromium() as b:
        page = opened(b, web)
        asked = []
        page.answer(["*/generate_stream"], lambda r: asked.append(r["postData"]))
        for name, value in {
            "temperature": "0.7",
            "top_k": "40",
            "seed": "18446744073709551615",
            "stop": "zebra\nyak\\n",
            "logit_bias": '{"5": -3.5}',
        }.items():
            parameter(page, name, value)
        page.click("#p-raw-do_sample")
        generate(page, "a", 3)
        ended(page)
        assert '"seed":18446744073709551615' in asked[0], asked[0]
        p = json.loads(asked[0])["parameters"]
        assert (p["temperature"], p["top_k"], p["stop"], p["logit_bias"], p["do_sample"]) == (
            0.7,
            40,
            ["zebra", "yak\n"],
            {"5": -3.5},
            True,
        ), p
        parameter(page, "temperature", "-1")
        page.wait("document.querySelector('#p-raw-temperature').getAttribute('aria-invalid') == 'true'")
        page.click("#go")
        ended(page)
        assert "422" in page.text(".answer") and "`temperature` must be strictly positive" in page.text(
            ".answer"
        ), page.text(".answer")
        # Kept over a reload, and forgotten on demand.
        page.goto(url(web))
        page.wait("document.querySelector('#p-raw-top_k')?.value == '40'")
        page.click("#defaults")
        assert page.eval("document.querySelector('#p-raw-top_k').value == ''")
        clean(page, web, expected=[422])


def several_answers_stand_side_by_side(argv):
    with serve(argv) as srv, front(srv) as web, Chromium() as b:
        page = opened(b, web)
        asked = []
        page.answer(["*/generate_stream"], lambda r: asked.append(json.loads(r["postData"])))
        page.eval("const m = document.querySelector('#many'); m.value = '3'; m.dispatchEvent(new Event('change'))")
        assert not page.eval("document.querySelector('#many-hint').hidden")
        parameter(page, "temperature", "1.3")
        parameter(page, "seed", "7")
        assert page.eval("document.querySelector('#many-hint').hidden")
        generate(page, "My name is", 12)
        ended(page)
        assert sorted(a["parameters"]["seed"] for a in asked) == [7, 8, 9], asked
        tops = page.eval("[...document.querySelectorAll('.answer')].map(a => a.getBoundingClientRect().top)")
        assert len(tops) == 3 and len(set(tops[:2])) == 1, tops
        audit(page, "three answers")
        clean(page, web)


def a_refusal_says_when_to_come_again(argv):
    double_only(argv)
    with serve(argv, flags=["--max-concurrent-requests", "1"], env={"SAKER_DOUBLE_RATE": 50}) as srv, front(
        srv
    ) as web, Chromium() as b:
        page = opened(b, web)
        s = Stream(web.port, "/generate_stream", {"inputs": "@silent", "parameters": {"max_new_tokens": 5}})
        drive([s], until=lambda: s.status == 200)
        generate(page, "hello", 5)
        ended(page)
        text = page.text(".answer")
        assert "429" in text and "Model is overloaded" in text and re.search(r"wait \d+ s", text), text
        assert page.eval("document.querySelector('.answer [role=alert]') != null")
        picture(page, "refused")
        audit(page, "a refusal")
        s.close()
        wait_for("the place is free", lambda: b"\nsaker_permits_used 0\n" in http(web.port, "GET", "/metrics")[2])
        page.click(".answer button.retry")
        page.wait("document.querySelectorAll('.answer .t').length == 5")
        ended(page)
        clean(page, web, expected=[429])


def a_lost_connection_is_shown_and_recovered(argv):
    double_only(argv)
    with serve(argv, env={"SAKER_DOUBLE_RATE": 20}) as srv, front(srv) as web, Chromium() as b:
        page = opened(b, web)
        generate(page, "hello", 300)
        page.wait("document.querySelectorAll('.answer .t').length > 3")
        web.kill()
        ended(page)
        assert "connection was lost" in page.text(".answer"), page.text(".answer")
        page.wait("document.querySelector('#banner-text').textContent.includes('cannot be reached')")
        picture(page, "lost")
        audit(page, "a lost connection")
        before = tokens_of(page)
        assert web.start()
        page.wait("document.querySelector('#banner').hidden")
        parameter(page, "max_new_tokens", "6")
        page.click(".answer button.more")
        ended(page)
        assert tokens_of(page) > before
        clean(page, web, expected=[0, 502])


def a_stream_that_was_cut_is_no_answer(argv):
    double_only(argv)
    with serve(argv, env={"SAKER_DOUBLE_RATE": 50}) as srv, front(srv) as web, Chromium() as b:
        page = opened(b, web)
        half = b'data: {"index":1,"token":{"id":1,"text":"half","logprob":-1.0,"special":false},"generated_text":null,"details":null}\n\n'
        page.answer(["*/generate_stream"], lambda r: (200, "text/event-stream", half))
        generate(page, "hello", 5)
        ended(page)
        assert "lost after 1 tokens" in page.text(".answer"), page.text(".answer")
        page.answer_with = lambda r: (
            200,
            "text/event-stream",
            half + b'data: {"error":"Request failed during generation: <b>x</b>","error_type":"generation"}\n\n',
        )
        page.click(".answer button.retry")
        ended(page)
        assert (
            "<b>x</b>" in page.text(".answer") and page.eval("document.querySelectorAll('.answer b').length") <= 1
        ), page.text(".answer")
        clean(page, web)


def two_thousand_tokens_are_smooth(argv):
    double_only(argv)
    with serve(argv, env={"SAKER_DOUBLE_RATE": 400}) as srv, front(srv) as web, Chromium() as b:
        page = opened(b, web)
        page.eval(
            "window.gaps = []; let at = performance.now(); requestAnimationFrame(function f(t) { gaps.push(performance.now() - at); at = performance.now();"
            "requestAnimationFrame(f); }); 0"
        )
        # The machine is shared: a busy moment is tried again. A page that does anything over for each token stays slow.
        for attempt in range(3):
            page.eval("gaps.length = 0")
            generate(page, "hello", 2000)
            page.wait("document.querySelectorAll('.answer .t').length == 2000")
            ended(page)
            gaps = sorted(page.eval("gaps"))
            p95 = gaps[int(len(gaps) * 0.95)]
            print("      2,000 tokens at 400/s: %d frames, p95 %.0f ms, worst %.0f ms" % (len(gaps), p95, gaps[-1]))
            if p95 < 100:
                break
        assert p95 < 100, "the page stutters: one frame of twenty takes more than %.0f ms" % p95
        assert page.eval(
            "(() => { const e = document.querySelector('.answer .text'); return e.scrollHeight - e.scrollTop - e.clientHeight < 60; })()"
        ), "the end is out of sight"
        clean(page, web)


def a_page_asks_for_the_key_itself(argv):
    with KeyFile("alice the-secret\n") as keys, serve(argv, flags=["--api-key-file", keys.path]) as srv, front(
        srv
    ) as web, Chromium() as b:
        page = b.page(url(web))
        page.wait("document.querySelector('#key-dialog').open")
        audit(page, "the dialog of the key")
        page.fill("#key-input", "wrong")
        page.key("Enter")
        page.wait("document.querySelector('#key-why').textContent.includes('not known')")
        page.fill("#key-input", "the-secret")
        page.key("Enter")
        page.wait("!document.querySelector('#go').disabled")
        page.click("#tab-raw")
        generate(page, "hello", 5)
        ended(page)
        assert tokens_of(page) > 0
        page.click("#as-code")
        assert "the-secret" not in page.text("#code") and "$SAKER_API_KEY" in page.text("#code")
        assert page.eval(
            "!JSON.stringify({...localStorage}).includes('the-secret') && JSON.stringify({...sessionStorage}).includes('the-secret')"
        )
        clean(page, web, expected=[401])


def a_part_of_a_site_is_enough(argv):
    with serve(argv, flags=["--path-prefix", "/llm"]) as srv, front(srv, prefix=True) as web, Chromium() as b:
        page = opened(b, web, "/llm/")
        generate(page, "hello", 5)
        ended(page)
        assert tokens_of(page) > 0
        page.click("#docs-link")
        page.wait("document.querySelectorAll('.operation').length > 5")
        assert page.eval("location.pathname") == "/llm/docs"
        page.click("#home-link")
        page.wait(
            "document.querySelector('#go') && !document.querySelector('#go').disabled && location.pathname == '/llm/'"
        )
        outside = [u for _, u in page.requests if not u.startswith(url(web, "/llm/"))]
        assert not outside, outside
        clean(page, web)


def history_stays_in_the_browser(argv):
    with serve(argv) as srv, front(srv) as web, Chromium() as b:
        page = opened(b, web)
        generate(page, "Remember <i>me</i>", 6)
        ended(page)
        said = page.eval("answers[0].words")
        page.goto(url(web))
        page.wait("!document.querySelector('#go').disabled")
        page.click("#history")
        assert "Remember <i>me</i>" in page.text("#history-list"), page.text("#history-list")
        page.click("#history-list button")
        page.wait("document.querySelector('.answer')")
        assert (
            page.eval("document.querySelector('#prompt').value") == "Remember <i>me</i>"
            and page.eval("answers[0].words") == said
        )
        page.click("#history")
        page.click("#history-clear")
        page.wait("document.querySelector('#history-list').innerText.includes('Nothing')")
        clean(page, web)


def a_program_does_the_same(argv):
    """What `Copy as code` shows runs, and says what the page said."""
    with serve(argv) as srv, front(srv) as web, Chromium() as b:
        page = opened(b, web)
        generate(page, 'It\'s a "test" \\ of\nquotes: $HOME é', 6)
        ended(page)
        want = page.eval("answers[0].words")
        page.click("#as-code")
        for language, run in (
            ("curl", ["sh", "-c"]),
            ("python", [sys.executable, "-c"]),
            ("javascript", ["node", "--input-type=module", "-e"]),
        ):
            page.eval("document.querySelector('input[value=%s]').click()" % language)
            code = page.eval("document.querySelector('#code').textContent")
            if not shutil.which(run[0]):
                continue
            p = subprocess.run(run + [code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=DEADLINE)
            out = p.stdout.decode()
            if language == "curl":
                out = "".join(
                    e["token"]["text"]
                    for e in (json.loads(l[6:]) for l in out.split("\n") if l.startswith("data: "))
                    if not e["token"]["special"]
                )
            assert p.returncode == 0 and out.strip("\n") == want.strip("\n"), (
                language,
                code,
                out,
                want,
                p.stderr.decode()[-500:],
            )
        clean(page, web)


CHAT = {
    "post": {
        "operationId": "post_v_chat_completions",
        "summary": "chat",
        "responses": {},
        "requestBody": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/ChatRequest"}}}},
    }
}
CHAT_FIELDS = {
    "type": "object",
    "required": ["messages"],
    "properties": {
        "messages": {"type": "array", "items": {"type": "object"}, "description": "the conversation"},
        "model": {"type": ["string", "null"], "description": "ignored"},
        "temperature": {"type": ["number", "null"], "minimum": 0, "maximum": 2, "description": "divides the logits"},
        "max_tokens": {"type": ["integer", "null"], "minimum": 1, "description": "at most so many"},
        "stream": {"type": ["boolean", "null"], "description": "events"},
        "logprobs": {"type": ["boolean", "null"], "description": "log-probabilities"},
        "top_logprobs": {"type": ["integer", "null"], "minimum": 0, "maximum": 5, "description": "so many"},
    },
}


def chat_chunks(words):
    for w in words:
        yield {
            "id": "",
            "object": "chat.completion.chunk",
            "choices": [
                {
                    "index": 0,
                    "delta": {"role": "assistant", "content": w},
                    "finish_reason": None,
                    "logprobs": {
                        "content": [
                            {
                                "token": w,
                                "logprob": -0.5,
                                "top_logprobs": [{"token": w, "logprob": -0.5}, {"token": "x", "logprob": -1.5}],
                            }
                        ]
                    },
                }
            ],
        }
    yield {
        "id": "",
        "object": "chat.completion.chunk",
        "choices": [
            {"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": "stop", "logprobs": None}
        ],
    }


def a_server_with_chat_is_talked_to(argv):
    """A real model answers itself; where there is the double the answers are made here, in the form of /v1/chat/completions."""
    with serve(argv) as srv, front(srv) as web, Chromium() as b:
        spec = json.loads(http(web.port, "GET", "/openapi.json")[2])
        page, asked = b.page(), []

        def answer(r):
            if r["url"].endswith("/openapi.json"):
                spec["paths"]["/v1/chat/completions"] = CHAT
                spec["components"]["schemas"]["ChatRequest"] = CHAT_FIELDS
                return 200, "application/json", json.dumps(spec).encode()
            asked.append(json.loads(r["postData"]))
            text = (
                "".join("data: %s\n\n" % json.dumps(c) for c in chat_chunks(["Hello", " num", "ber ", str(len(asked))]))
                + "data: [DONE]\n\n"
            )
            return 200, "text/event-stream", text.encode()

        if "double" in os.path.basename(argv[0]):       # it has no chat template
            page.answer(["*/openapi.json", "*/v1/chat/completions"], answer)
        page.goto(url(web))
        page.wait("!document.querySelector('#go').disabled")
        assert page.eval("document.querySelector('#tab-chat').getAttribute('aria-selected')") == "true"
        page.eval("document.querySelector('#system-box').open = true")
        page.fill("#system", "Be brief.")
        for turn in range(2):
            page.fill("#prompt", "Hi %d" % turn)
            page.key("Enter", ctrl=True)
            ended(page)
            assert tokens_of(page) > 0, page.text("#answers")
        if asked:
            assert [m["content"] for m in asked[1]["messages"]] == [
                "Be brief.",
                "Hi 0",
                "Hello number 1",
                "Hi 1",
            ], asked[1]
            assert (
                asked[1]["stream"]
                and asked[1]["logprobs"]
                and asked[1]["top_logprobs"] == 5
                and asked[1]["max_tokens"] == 200
            ), asked[1]
            page.hover(".answer .t")
            page.wait("document.querySelector('#tip').innerText.includes('60.7 %')")
        picture(page, "chat")
        audit(page, "chat")
        page.click("#again")
        ended(page)
        page.click("#undo")
        assert (
            page.eval("document.querySelector('#prompt').value") == "Hi 1"
            and page.eval("document.querySelectorAll('#messages li').length") == 2
        )
        clean(page, web)


def the_model_loads_before_ones_eyes(argv):
    double_only(argv)
    # The browser first: it may take longer to start than the model.
    with Chromium() as b, serve(argv, env={"SAKER_DOUBLE_LOAD_MS": 5000}, ready=False) as srv, front(srv) as web:
        page = b.page(url(web))
        page.wait("document.querySelector('#banner-text').textContent.includes('being loaded')")
        picture(page, "loading")
        page.wait("!document.querySelector('#go').disabled && document.querySelector('#banner').hidden")
        clean(page, web, expected=[503])


def a_mark_is_looked_for(argv):
    with serve(argv) as srv, front(srv) as web, Chromium() as b:
        page = opened(b, web)
        page.click("#tab-mark")
        page.fill("#mark-text", "What becomes of a text that nobody has marked?")
        page.click("#mark-go")
        page.wait("document.querySelector('#mark-result table') || document.querySelector('#mark-result .note')")
        picture(page, "mark")
        page.click("#tab-raw")
        generate(page, "hello", 8)
        ended(page)
        page.click("#tab-mark")
        page.click("#mark-last")
        page.wait("document.querySelector('#mark-result table') || document.querySelector('#mark-result .note')")
        page.click("#tab-card")
        assert "most total tokens" in page.text("#card"), page.text("#card")
        page.click("#tab-raw")
        page.click("#show-tokens")
        page.wait(
            "/\\d+ tokens/.test(document.querySelector('#prompt-tokens').innerText) || document.querySelector('#prompt-tokens .note')"
        )


def the_prompt_is_counted_where_the_server_can(argv):
    """Where the document names /tokenize. Without such a server the count is made here, in its form."""
    with serve(argv) as srv, front(srv) as web, Chromium() as b:
        spec = json.loads(http(web.port, "GET", "/openapi.json")[2])
        page, asked = b.page(), []

        def answer(r):
            if r["url"].endswith("/openapi.json"):
                spec["paths"]["/tokenize"] = {"post": dict(CHAT["post"], operationId="post_tokenize")}
                return 200, "application/json", json.dumps(spec).encode()
            asked.append(json.loads(r["postData"]))
            words = asked[-1]["inputs"].split(" ")
            return 200, "application/json", json.dumps([{"id": 1, "text": w, "start": 0, "stop": 1} for w in words]).encode()

        if "/tokenize" not in spec["paths"]:
            page.answer(["*/openapi.json", "*/tokenize"], answer)
        page.goto(url(web))
        page.wait("!document.querySelector('#go').disabled")
        page.eval("document.querySelector('#tab-raw').click()")
        page.fill("#prompt", "one two three")
        page.wait("/^\\d+ tokens/.test(document.querySelector('#prompt-count').textContent)")
        if asked:
            assert page.text("#prompt-count") == "3 tokens." and asked == [{"inputs": "one two three"}], asked
        clean(page, web)


def the_description_can_be_tried(argv):
    with serve(argv) as srv, front(srv) as web, Chromium() as b:
        page = b.page(url(web, "/docs#post_generate_stream"))
        page.wait("document.querySelectorAll('.operation').length > 5")
        page.eval("document.querySelector('#post_generate_stream details:last-of-type').open = true")
        page.wait("document.querySelector('#post_generate_stream form')")
        page.click("#post_generate_stream form button.first")
        page.wait(
            "/^200/.test(document.querySelector('#post_generate_stream [role=status]').textContent) && document.querySelector('#post_generate_stream pre').textContent.includes('data: ')"
        )
        assert "content-type: text/event-stream" in page.text("#post_generate_stream pre")
        refs = page.eval(
            "[...document.querySelectorAll('a[href^=\"#\"]')].filter(a => !document.getElementById(a.getAttribute('href').slice(1))).map(a => a.href)"
        )
        assert not refs, refs
        clean(page, web)


def a_picture_for_the_readme_is_taken(argv):
    shots = os.environ.get("SAKER_TEST_SHOTS")
    if not shots or is_double(argv):
        raise Skip("SAKER_TEST_SHOTS and a model are wanted")
    with serve(argv) as srv, front(srv) as web, Chromium() as b:
        page = opened(b, web, width=1200, height=760)
        page.eval("document.querySelector('#many').value = '2'; document.querySelector('#colours').click()")
        page.eval("document.querySelector('#prompt').style.minHeight = '3.5rem'; document.querySelector('#prompt').rows = 2")
        for name, value in {"temperature": "0.7", "seed": "11"}.items():
            parameter(page, name, value)
        generate(page, "Bees are important to us because", 70)
        ended(page)
        page.wait("document.querySelector('#live-rate').textContent != '0.0'")
        page.hover(".answer .t.p4, .answer .t.p3")
        page.wait("!document.querySelector('#tip').hidden")
        page.eval("document.querySelector('#parameters-box').scrollTop = 0; scrollTo(0, 0)")
        data = base64.b64decode(page.call("Page.captureScreenshot", format="webp", quality=82)["data"])
        assert len(data) <= 100000, len(data)
        with open(os.path.join(shots, "playground.webp"), "wb") as f:
            f.write(data)


QUICK = [
    browsers_get_the_page_and_programs_keep_their_answer,
    a_browser_sees_the_health_of_the_server_too,
    an_answer_comes_token_by_token,
]
LONG = [
    a_server_without_chat_says_so,
    all_of_it_works_without_a_mouse,
    everybody_can_read_it,
    a_generation_is_stopped_continued_and_made_again,
    parameters_are_sent_as_they_are_given,
    several_answers_stand_side_by_side,
    a_refusal_says_when_to_come_again,
    a_lost_connection_is_shown_and_recovered,
    a_stream_that_was_cut_is_no_answer,
    two_thousand_tokens_are_smooth,
    a_page_asks_for_the_key_itself,
    a_part_of_a_site_is_enough,
    history_stays_in_the_browser,
    a_program_does_the_same,
    a_server_with_chat_is_talked_to,
    the_model_loads_before_ones_eyes,
    a_mark_is_looked_for,
    the_prompt_is_counted_where_the_server_can,
    the_description_can_be_tried,
    a_picture_for_the_readme_is_taken,
]

if __name__ == "__main__":
    sys.exit(main(QUICK + (LONG if os.environ.get("SAKER_TEST_LONG") else [])))
