# SPDX-License-Identifier: Apache-2.0
"""Headless Chromium, driven over a pipe by its DevTools protocol: no driver, no library.

with Chromium() as b:
    page = b.page("http://127.0.0.1:8080/")
    page.click("#go"); page.wait("document.title == 'x'"); page.errors; page.requests
"""

import base64, json, os, shutil, subprocess, tempfile, threading, time

from front import DEADLINE, Skip, dies_with_us, wait_for

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
KEYS = {
    "Enter": ("Enter", 13, "\r"),
    "Tab": ("Tab", 9, ""),
    "Escape": ("Escape", 27, ""),
    "ArrowRight": ("ArrowRight", 39, ""),
    "ArrowLeft": ("ArrowLeft", 37, ""),
    "Home": ("Home", 36, ""),
    "End": ("End", 35, ""),
    " ": ("Space", 32, " "),
}


class Chromium:
    def __init__(self):
        asked = os.environ.get("SAKER_TEST_CHROMIUM")
        binary = asked or next(filter(None, map(shutil.which, NAMES)), None)
        if not binary:
            raise Skip("chromium is not installed (Debian: chromium)")
        self.dir = tempfile.mkdtemp(prefix="saker-chromium-")
        to_read, self.to = os.pipe()
        self.out, out_write = os.pipe()
        flags = [
            "--headless=new",
            "--remote-debugging-pipe",
            "--user-data-dir=" + self.dir,
            "--no-first-run",
            "--disable-gpu",
            "--disable-extensions",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-dev-shm-usage",
            "--hide-scrollbars",
            "--mute-audio",
        ]
        if os.getuid() == 0:
            flags.append("--no-sandbox")

        # What may be one of the two numbers already moves out of the way first.
        def files():
            dies_with_us()
            a, b = os.dup(to_read), os.dup(out_write)
            while a in (3, 4):
                a = os.dup(a)
            while b in (3, 4):
                b = os.dup(b)
            os.dup2(a, 3)
            os.dup2(b, 4)

        env = dict(os.environ, HOME=self.dir, XDG_RUNTIME_DIR=self.dir)
        self.p = subprocess.Popen(
            [binary] + flags,
            preexec_fn=files,
            close_fds=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=env,
        )
        os.close(to_read)
        os.close(out_write)
        self.serial, self.answers, self.pages, self.lock = 0, {}, {}, threading.Condition()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        rest = b""
        while True:
            try:
                got = os.read(self.out, 1 << 20)
            except OSError:
                got = b""
            if not got:
                return
            *whole, rest = (rest + got).split(b"\0")
            for text in whole:
                said = json.loads(text)
                with self.lock:
                    if "id" in said:
                        self.answers[said["id"]] = said
                        self.lock.notify_all()
                        continue
                page = self.pages.get(said.get("sessionId"))
                if page:
                    page.event(said["method"], said["params"])

    def post(self, method, session=None, **params):
        """Send without waiting; what came of it is in self.answers[the result]."""
        with self.lock:
            self.serial += 1
            serial = self.serial
            command = {"id": serial, "method": method, "params": params}
            if session:
                command["sessionId"] = session
            os.write(self.to, json.dumps(command).encode() + b"\0")
        return serial

    def call(self, method, session=None, **params):
        serial = self.post(method, session, **params)
        with self.lock:
            if not self.lock.wait_for(lambda: serial in self.answers or self.p.poll() is not None, DEADLINE):
                raise AssertionError("chromium did not answer %s" % method)
            said = self.answers.pop(serial, {"error": "chromium ended"})
        assert "error" not in said, "%s: %s" % (method, said["error"])
        return said["result"]

    def page(self, url=None, **k):
        return Page(self, url, **k)

    def __enter__(self):
        return self

    def __exit__(self, *a):
        self.p.terminate()
        try:
            self.p.wait(10)
        except subprocess.TimeoutExpired:
            self.p.kill()
            self.p.wait()
        os.close(self.to)
        shutil.rmtree(self.dir, ignore_errors=True)


class Page:
    """One tab with a profile of its own. errors: what the console was told; requests: [(method, URL)]."""

    def __init__(self, browser, url=None, width=1280, height=900, scheme="light", touch=False):
        self.b = browser
        self.errors, self.requests, self.frames, self.answer_with = [], [], [], None
        context = browser.call("Target.createBrowserContext")["browserContextId"]
        target = browser.call("Target.createTarget", url="about:blank", browserContextId=context)["targetId"]
        self.session = browser.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        browser.pages[self.session] = self
        for domain in "Page", "Runtime", "Log", "Network":
            self.call(domain + ".enable")
        self.view(width, height, scheme, touch)
        if url:
            self.goto(url)

    def call(self, method, **params):
        return self.b.call(method, self.session, **params)

    def event(self, method, params):
        """On the reader's thread: never waits."""
        if method == "Log.entryAdded" and params["entry"]["level"] == "error":
            self.errors.append(
                (params["entry"]["source"], params["entry"]["text"] + " " + params["entry"].get("url", ""))
            )
        elif method == "Runtime.exceptionThrown":
            d = params["exceptionDetails"]
            self.errors.append(("exception", d["text"] + " " + d.get("exception", {}).get("description", "")))
        elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "assert", "warning"):
            self.errors.append(("console", json.dumps(params["args"])))
        elif method == "Network.requestWillBeSent":
            self.requests.append((params["request"]["method"], params["request"]["url"]))
        elif method == "Fetch.requestPaused":
            got = self.answer_with(params["request"])
            if got is None:
                self.b.post("Fetch.continueRequest", self.session, requestId=params["requestId"])
            else:
                status, kind, body = got
                self.b.post(
                    "Fetch.fulfillRequest",
                    self.session,
                    requestId=params["requestId"],
                    responseCode=status,
                    responseHeaders=[{"name": "content-type", "value": kind}],
                    body=base64.b64encode(body).decode(),
                )

    def answer(self, patterns, fn):
        """Requests that fit one of the URL patterns are answered by fn(request) -> (status, type, body), or None: by the server."""
        self.answer_with = fn
        self.call("Fetch.enable", patterns=[{"urlPattern": p} for p in patterns])

    def view(self, width, height, scheme="light", touch=False):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=touch)
        self.call(
            "Emulation.setEmulatedMedia",
            features=[
                {"name": "prefers-color-scheme", "value": scheme},
                {"name": "prefers-reduced-motion", "value": "reduce"},
            ],
        )

    def goto(self, url):
        self.call("Page.navigate", url=url)
        self.wait("document.readyState == 'complete'")

    def eval(self, expression):
        got = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in got, "%s: %s" % (
            expression[:200],
            got["exceptionDetails"].get("exception", {}).get("description"),
        )
        return got["result"].get("value")

    def wait(self, expression, seconds=DEADLINE):
        return wait_for(
            lambda: "%s; the console: %s" % (expression, self.errors),
            lambda: self.eval("(got => got instanceof Node || got)(%s)" % expression),
            seconds,
        )

    def text(self, selector):
        return self.eval("document.querySelector(%s)?.innerText ?? ''" % json.dumps(selector))

    # Where an element is, once it has stood still for two frames: a page may still be moving it. None: not there yet.
    PLACE = """(async () => {
        const e = document.querySelector(%s), frame = () => new Promise(requestAnimationFrame);
        if (!e || e.disabled) return null;
        e.scrollIntoView({ block: "center" });
        const at = () => e.getClientRects()[0], before = at();
        await frame(); await frame();
        const r = at();
        return r && before && r.width && r.x === before.x && r.y === before.y ? [r.x + r.width / 2, r.y + r.height / 2] : null;
    })()"""

    def place(self, selector):
        return wait_for("%s can be reached" % selector, lambda: self.eval(self.PLACE % json.dumps(selector)))

    def click(self, selector):
        x, y = self.place(selector)
        for kind in "mousePressed", "mouseReleased":
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def hover(self, selector):
        x, y = self.place(selector)
        self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def key(self, name, ctrl=False, shift=False):
        code, number, text = KEYS[name]
        modifiers = 2 * ctrl + 8 * shift
        more = {"text": text} if text and not ctrl else {}
        self.call(
            "Input.dispatchKeyEvent",
            type="keyDown",
            key=name,
            code=code,
            windowsVirtualKeyCode=number,
            modifiers=modifiers,
            **more
        )
        self.call(
            "Input.dispatchKeyEvent",
            type="keyUp",
            key=name,
            code=code,
            windowsVirtualKeyCode=number,
            modifiers=modifiers,
        )

    def type(self, text):
        self.call("Input.insertText", text=text)

    def fill(self, selector, text):
        self.eval("(() => { const e = document.querySelector(%s); e.focus(); e.select(); })()" % json.dumps(selector))
        self.type(text) if text else self.eval("document.execCommand('delete')")

    def shot(self, path, whole=False):
        data = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)["data"]
        with open(path, "wb") as f:
            f.write(base64.b64decode(data))
