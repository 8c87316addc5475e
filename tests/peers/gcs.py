#!/usr/bin/env python3
"""A peer that speaks the part of Google Cloud Storage's XML API that ixtract uses.

    gcs.py PORT PUBLIC_KEY

Objects live in memory, in the bucket `lake`. Requests carry a service account's self-signed token,
which is verified with the public key (a PEM file). Conditions on generations hold, multipart
uploads obey the rules of the service (parts of 5 MiB, every part named), and the uploads that are
not completed can be listed, and their parts.

No emulator of others could be used: what was to be had answers another API, or leaves out ETags.
"""

import base64
import hashlib
import json
import re
import sys
import threading
import time
import urllib.parse
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from xml.sax.saxutils import escape

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.serialization import load_pem_public_key

BUCKET = "lake"
LEAST_PART = 5 << 20


class Store:
    """Objects and uploads; a lock, because every request has a thread."""

    def __init__(self):
        self.lock = threading.RLock()
        self.objects = {}
        self.uploads = {}
        self.generation = int(time.time() * 1e6)

    def put(self, key, data):
        self.generation += 1
        tag = '"' + hashlib.md5(data).hexdigest() + '"'
        self.objects[key] = (data, self.generation, tag, time.time())
        return {"ETag": tag, "x-goog-generation": str(self.generation)}


STORE = Store()
PUBLIC_KEY = None


class Refused(Exception):
    def __init__(self, status, code):
        super().__init__(code)
        self.status, self.code = status, code


def decoded(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def check_token(header):
    try:
        head, claims, signature = header.removeprefix("Bearer ").split(".")
        signed = f"{head}.{claims}".encode()
        PUBLIC_KEY.verify(decoded(signature), signed, padding.PKCS1v15(), hashes.SHA256())
        alive = json.loads(decoded(claims))["exp"] > time.time()
    except (AttributeError, ValueError, KeyError, InvalidSignature):
        alive = False
    if not alive:
        raise Refused(401, "AuthenticationRequired")


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Head and body in one segment, or every answer waits for an acknowledgement.
    wbufsize = -1
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass

    def answer(self, status, body=b"", **headers):
        body = body.encode() if isinstance(body, str) else body
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        if "Content_Length" not in headers:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def document(self, name, inside, **headers):
        text = f"<?xml version='1.0' encoding='UTF-8'?><{name}>{inside}</{name}>"
        self.answer(200, text, Content_Type="application/xml", **headers)

    def any(self):
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        url = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(url.query, keep_blank_values=True))
        _, bucket, *rest = url.path.split("/", 2)
        key = urllib.parse.unquote(rest[0]) if rest else ""
        try:
            check_token(self.headers.get("Authorization"))
            if bucket != BUCKET:
                raise Refused(404, "NoSuchBucket")
            with STORE.lock:
                self.handle_request(key, query, body)
        except Refused as refused:
            text = f"<Error><Code>{refused.code}</Code><Message>{refused.code}.</Message></Error>"
            self.answer(refused.status, text, Content_Type="application/xml")

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = any

    def handle_request(self, key, query, body):
        if not key and "uploads" in query:
            self.list_uploads(query)
        elif not key:
            self.list_objects(query)
        elif "uploads" in query or "uploadId" in query:
            self.multipart(key, query, body)
        elif self.command == "PUT":
            self.check_condition(key)
            source = self.headers.get("x-goog-copy-source")
            self.answer(200, **STORE.put(key, self.copied(source) if source else body))
        elif key not in STORE.objects:
            raise Refused(404, "NoSuchKey")
        elif self.command == "DELETE":
            del STORE.objects[key]
            self.answer(204)
        else:
            self.get(key)

    def check_condition(self, key):
        wanted = self.headers.get("x-goog-if-generation-match")
        found = STORE.objects[key][1] if key in STORE.objects else 0
        if wanted is not None and int(wanted) != found:
            raise Refused(412, "PreconditionFailed")

    def copied(self, source):
        bucket, _, key = urllib.parse.unquote(source.lstrip("/")).partition("/")
        if bucket != BUCKET or key not in STORE.objects:
            raise Refused(404, "NoSuchKey")
        return STORE.objects[key][0]

    def get(self, key):
        data, generation, tag, when = STORE.objects[key]
        headers = {
            "ETag": tag,
            "x-goog-generation": generation,
            "Last-Modified": time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(when)),
            "Content_Type": "application/octet-stream",
        }
        span = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
        if self.command == "HEAD":
            self.answer(200, Content_Length=len(data), **headers)
        elif span:
            start, end = int(span[1]), min(int(span[2] or len(data) - 1), len(data) - 1)
            headers["Content-Range"] = f"bytes {start}-{end}/{len(data)}"
            self.answer(206, data[start : end + 1], **headers)
        else:
            self.answer(200, data, **headers)

    def multipart(self, key, query, body):
        if "uploads" in query:
            upload = uuid.uuid4().hex
            STORE.uploads[upload] = (key, {})
            inside = f"<Bucket>{BUCKET}</Bucket><Key>{escape(key)}</Key><UploadId>{upload}</UploadId>"
            return self.document("InitiateMultipartUploadResult", inside)
        upload = query["uploadId"]
        if STORE.uploads.get(upload, ("",))[0] != key:
            raise Refused(404, "NoSuchUpload")
        parts = STORE.uploads[upload][1]
        if self.command == "PUT":
            tag = '"' + hashlib.md5(body).hexdigest() + '"'
            parts[int(query["partNumber"])] = (tag, body)
            return self.answer(200, ETag=tag)
        if self.command == "DELETE":
            del STORE.uploads[upload]
            return self.answer(204)
        if self.command == "GET":
            return self.list_parts(parts, query)
        named = []
        for part in re.findall(r"<Part>(.*?)</Part>", body.decode(), re.S):
            number = int(re.search(r"<PartNumber>(\d+)<", part)[1])
            tag = re.search(r"<ETag>(.*?)</ETag>", part)[1].replace("&quot;", '"')
            named.append((number, tag))
        if not named or any(parts.get(number, ("",))[0] != tag for number, tag in named):
            raise Refused(400, "InvalidPart")
        if any(len(parts[number][1]) < LEAST_PART for number, _ in named[:-1]):
            raise Refused(400, "EntityTooSmall")
        headers = STORE.put(key, b"".join(parts[number][1] for number, _ in named))
        del STORE.uploads[upload]
        inside = f"<Bucket>{BUCKET}</Bucket><Key>{escape(key)}</Key><ETag>{escape(headers['ETag'])}</ETag>"
        return self.document("CompleteMultipartUploadResult", inside, **headers)

    def list_parts(self, parts, query):
        start, most = int(query.get("part-number-marker", 0)), int(query.get("max-parts", 1000))
        numbers = sorted(number for number in parts if number > start)
        inside = "".join(
            f"<Part><PartNumber>{number}</PartNumber><ETag>{escape(parts[number][0])}</ETag>"
            f"<Size>{len(parts[number][1])}</Size></Part>"
            for number in numbers[:most]
        )
        more = str(len(numbers) > most).lower()
        last = numbers[:most][-1] if numbers else 0
        head = f"<IsTruncated>{more}</IsTruncated><NextPartNumberMarker>{last}</NextPartNumberMarker>"
        self.document("ListPartsResult", head + inside)

    def list_uploads(self, query):
        prefix = query.get("prefix", "")
        found = sorted((key, upload) for upload, (key, _) in STORE.uploads.items())
        inside = "".join(
            f"<Upload><Key>{escape(key)}</Key><UploadId>{upload}</UploadId></Upload>"
            for key, upload in found
            if key.startswith(prefix)
        )
        self.document("ListMultipartUploadsResult", f"<IsTruncated>false</IsTruncated>{inside}")

    def list_objects(self, query):
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter")
        start = query.get("continuation-token") or query.get("start-after") or ""
        most = int(query.get("max-keys", 1000))
        objects, prefixes, more = [], [], ""
        for key in sorted(STORE.objects):
            if not key.startswith(prefix) or key <= start:
                continue
            if delimiter and delimiter in key[len(prefix) :]:
                inner = prefix + key[len(prefix) :].split(delimiter)[0] + delimiter
                if inner not in prefixes:
                    prefixes.append(inner)
            elif len(objects) == most:
                more = objects[-1]
                break
            else:
                objects.append(key)
        inside = ""
        for key in objects:
            data, generation, tag, when = STORE.objects[key]
            modified = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(when))
            inside += (
                f"<Contents><Key>{escape(key)}</Key><Generation>{generation}</Generation>"
                f"<LastModified>{modified}</LastModified><ETag>{escape(tag)}</ETag>"
                f"<Size>{len(data)}</Size></Contents>"
            )
        for inner in prefixes:
            inside += f"<CommonPrefixes><Prefix>{escape(inner)}</Prefix></CommonPrefixes>"
        if more:
            inside += "<IsTruncated>true</IsTruncated>"
            inside += f"<NextContinuationToken>{escape(more)}</NextContinuationToken>"
        self.document("ListBucketResult", inside)


if __name__ == "__main__":
    with open(sys.argv[2], "rb") as file:
        PUBLIC_KEY = load_pem_public_key(file.read())
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
