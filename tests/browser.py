"""A page as Chromium shows it.

    browser.py PAGE <views

opens the file PAGE once for each view and prints what the browser says, as JSON. `views` is a list of

    {"width": 390, "height": 844, "dark": false, "ask": {"NAME": "JavaScript"}, "shot": "FILE.png"}

where `shot`, a picture of the whole page, may be left out. The answer is

    {"views": [{"NAME": ANSWER, …}, …],
     "requests": ["URL", …],          every request but the page's own
     "console": ["TEXT", …]}          every message of the console, refusals by the page's policy among them

Chromium is spoken to by DevTools' protocol, over two pipes.
"""

import base64
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile


class Browser:
    """One Chromium, and one page in it."""

    def __init__(self, profile):
        program = shutil.which("chromium")
        if program is None:
            sys.exit("browser.py: chromium is not installed (tests/setup/tools.sh installs it)")
        to_browser, self.out = os.pipe()
        self.into, from_browser = os.pipe()
        command = [
            program,
            "--headless",
            "--remote-debugging-pipe",
            f"--user-data-dir={profile}",
            "--no-first-run",
            "--no-default-browser-check",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-background-networking",
            "--disable-component-update",
            "--hide-scrollbars",
            "--force-color-profile=srgb",
        ]
        if os.geteuid() == 0:
            command.append("--no-sandbox")

        def descriptors():
            # Out of the way of 3 and 4, whatever the numbers were.
            kept = [os.dup2(to_browser, 60), os.dup2(from_browser, 61)]
            os.dup2(kept[0], 3)
            os.dup2(kept[1], 4)

        self.process = subprocess.Popen(
            command,
            preexec_fn=descriptors,
            close_fds=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_browser)
        os.close(from_browser)
        self.number = 0
        self.unread = b""
        self.requests = []
        self.console = []
        self.session = None
        self.loaded = False
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self.session = attached["sessionId"]
        for domain in ["Page", "Runtime", "Log", "Network"]:
            self.call(f"{domain}.enable")

    def call(self, method, **parameters):
        """Asks, and waits for the answer; what happens meanwhile is noted."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.out, json.dumps(message).encode() + b"\0")
        while True:
            answer = self.next()
            if answer.get("id") == self.number:
                if "error" in answer:
                    sys.exit(f"browser.py: {method}: {answer['error']}")
                return answer["result"]

    def next(self):
        """The next message."""
        while b"\0" not in self.unread:
            more = os.read(self.into, 1 << 20)
            if not more:
                sys.exit("browser.py: chromium has gone")
            self.unread += more
        text, self.unread = self.unread.split(b"\0", 1)
        message = json.loads(text)
        self.note(message.get("method"), message.get("params"))
        return message

    def note(self, method, event):
        if method == "Page.loadEventFired":
            self.loaded = True
        elif method == "Network.requestWillBeSent":
            self.requests.append(event["request"]["url"])
        elif method == "Runtime.consoleAPICalled":
            self.console.append(str(event["args"]))
        elif method == "Runtime.exceptionThrown":
            self.console.append(str(event["exceptionDetails"]))
        elif method == "Log.entryAdded":
            self.console.append(event["entry"]["text"])

    def view(self, url, view):
        """Opens the page and gives the answers."""
        width, height = view["width"], view["height"]
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        scheme = "dark" if view.get("dark") else "light"
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.call("Emulation.setEmulatedMedia", features=features)
        self.loaded = False
        self.call("Page.navigate", url=url)
        while not self.loaded:
            self.next()
        answers = {}
        for name, script in view["ask"].items():
            answer = self.call("Runtime.evaluate", expression=script, returnByValue=True)
            if "exceptionDetails" in answer:
                sys.exit(f"browser.py: {name}: {answer['exceptionDetails']}")
            answers[name] = answer["result"].get("value")
        if "shot" in view:
            shot = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True)
            pathlib.Path(view["shot"]).write_bytes(base64.b64decode(shot["data"]))
        return answers


def main():
    url = pathlib.Path(sys.argv[1]).resolve().as_uri()
    views = json.load(sys.stdin)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        browser = Browser(profile)
        try:
            answers = [browser.view(url, view) for view in views]
        finally:
            browser.process.terminate()
            browser.process.wait()
    others = [request for request in browser.requests if request != url]
    json.dump({"views": answers, "requests": others, "console": browser.console}, sys.stdout)


main()
