#!/usr/bin/env python3
"""An HTTP proxy in front of a store that does not do all it is asked.

    faulty.py UPSTREAM_PORT TIMES EVERY METHOD HOW [NAME]

Every EVERY-th request of METHOD meets the fault, TIMES of them; with NAME only requests for the
object of that name outside of `_runs`. HOW is `throttle` (503 SlowDown), `lose` (the request is
carried out and its answer lost), `drop` (neither) or `flip` (a line of the answer that begins with
42 begins with 43). All else is passed on as it came: signatures still hold. Prints its port, and
then a line for each fault.
"""

import http.client
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

UPSTREAM, TIMES, EVERY = map(int, sys.argv[1:4])
METHOD, HOW = sys.argv[4:6]
NAME = sys.argv[6] if len(sys.argv) > 6 else None
REFUSAL = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
lock, seen, met = threading.Lock(), 0, 0


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass

    def answer(self, status, headers, body):
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                self.send_header(name, value)
        if self.command != "HEAD":
            self.send_header("Content-Length", str(len(body)))
        else:
            for name, value in headers:
                if name.lower() == "content-length":
                    self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def any(self):
        global seen, met
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = self.path.split("?")[0]
        fits = NAME is None or (path.endswith(f"/{NAME}") and "/_runs/" not in path)
        with lock:
            fits = fits and self.command == METHOD
            seen += fits
            fault = fits and seen % EVERY == 0 and met < TIMES
            met += fault
        if fault and HOW != "flip":
            print(HOW, flush=True)
            if HOW == "throttle":
                return self.answer(503, [("Content-Type", "application/xml")], REFUSAL)
            self.close_connection = True
            if HOW == "drop":
                return None
        upstream = http.client.HTTPConnection("127.0.0.1", UPSTREAM)
        upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            upstream.putheader(name, value)
        upstream.endheaders(body)
        response = upstream.getresponse()
        answer = response.read()
        upstream.close()
        if fault and HOW == "flip" and b"\n42," in answer:
            print(HOW, flush=True)
            answer = answer.replace(b"\n42,", b"\n43,")
        if not (fault and HOW == "lose"):
            self.answer(response.status, response.getheaders(), answer)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = any


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(server.server_address[1], flush=True)
    server.serve_forever()
