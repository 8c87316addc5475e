#!/usr/bin/env python3
"""An HTTP proxy in front of a store that throttles.

    throttling.py UPSTREAM_PORT TIMES EVERY METHOD

Answers every EVERY-th request of METHOD with 503 SlowDown, TIMES of them, and passes everything else on, as it
came: signatures still hold. Prints its port, and then a line for each request that it refused.
"""

import http.client
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

UPSTREAM, TIMES, EVERY = map(int, sys.argv[1:4])
METHOD = sys.argv[4]
REFUSAL = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
lock, seen, refused = threading.Lock(), 0, 0


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
        global seen, refused
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        with lock:
            seen += self.command == METHOD
            refuse = self.command == METHOD and seen % EVERY == 0 and refused < TIMES
            refused += refuse
        if refuse:
            print("refused", flush=True)
            return self.answer(503, [("Content-Type", "application/xml")], REFUSAL)
        upstream = http.client.HTTPConnection("127.0.0.1", UPSTREAM)
        upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            upstream.putheader(name, value)
        upstream.endheaders(body)
        response = upstream.getresponse()
        self.answer(response.status, response.getheaders(), response.read())
        upstream.close()

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = any


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(server.server_address[1], flush=True)
    server.serve_forever()
