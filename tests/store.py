#!/usr/bin/env python3
"""Looks into object stores with other people's code, for tests.

    store.py ready NAME              waits for a store and makes the bucket; prints moto's key
    store.py bucket NAME             makes another bucket: the one that IXTRACT_TEST_BUCKET names
    store.py keys NAME PREFIX        every key below the prefix, one a line, with its size
    store.py uploads NAME PREFIX     every multipart upload that is not completed
    store.py end NAME KEY            ends the uploads of a key
    store.py fetch NAME PREFIX DIR   copies everything below the prefix into a directory
    store.py put NAME KEY TEXT       puts an object
    store.py remove NAME KEY         removes one
    store.py header NAME KEY HEADER  prints a header of an object
    store.py user NAME ACTION...     makes a user of moto's who may do all but this; prints its key

NAME is seaweed, moto, gcs or azure.
"""

import base64
import email.utils
import hashlib
import hmac
import json
import os
import pathlib
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
import xml.etree.ElementTree as ET

# The bucket of all tests, unless one asks for another.
BUCKET = os.environ.get("IXTRACT_TEST_BUCKET", "lake")


class Plain:
    """A store that is asked by plain requests."""

    def ask(self, method, key, query=(), data=b"", headers=()):
        path = urllib.parse.quote(key, safe="/~")
        url = f"{self.endpoint}/{BUCKET}/{path}".rstrip("/")
        if query:
            url += "?" + urllib.parse.urlencode(query, quote_via=urllib.parse.quote)
        headers = self.signed(method, url, dict(headers), data)
        request = urllib.request.Request(url, method=method, data=data or None, headers=headers)
        with urllib.request.urlopen(request, timeout=30) as response:
            self.headers = response.headers
            return response.read()

    def get(self, key):
        return self.ask("GET", key)

    def remove(self, key):
        self.ask("DELETE", key)


class Xml(Plain):
    """A store that speaks S3's language, or Google's version of it."""

    def listed(self, query):
        document = ET.fromstring(self.ask("GET", "", query))
        for element in document.iter():
            element.tag = element.tag.rsplit("}", 1)[-1]
        return document

    def objects(self, prefix):
        found, token = [], None
        while True:
            query = [("list-type", "2"), ("prefix", prefix)]
            query += [("continuation-token", token)] if token else []
            page = self.listed(query)
            found += [(c.findtext("Key"), int(c.findtext("Size"))) for c in page.iter("Contents")]
            token = page.findtext("NextContinuationToken")
            if not token:
                return found

    def uploads(self, prefix):
        page = self.listed([("uploads", ""), ("prefix", prefix)])
        return [upload.findtext("Key") for upload in page.iter("Upload")]

    def end(self, key):
        page = self.listed([("uploads", ""), ("prefix", key)])
        for upload in page.iter("Upload"):
            self.ask("DELETE", key, [("uploadId", upload.findtext("UploadId"))])

    def put(self, key, data):
        self.ask("PUT", key, data=data)


class S3(Xml):
    """SeaweedFS and moto. Requests are signed here: boto3 takes seconds to start."""

    REGION = "us-east-1"

    def __init__(self, endpoint, key):
        self.endpoint, self.key = endpoint, key

    def signed(self, method, url, headers, data):
        parts = urllib.parse.urlsplit(url)
        now = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        scope = f"{now[:8]}/{self.REGION}/s3/aws4_request"
        body = hashlib.sha256(data).hexdigest()
        headers |= {"host": parts.netloc, "x-amz-content-sha256": body, "x-amz-date": now}
        names = ";".join(sorted(headers))
        query = "&".join(sorted(parts.query.split("&"))) if parts.query else ""
        lines = [method, parts.path, query]
        lines += [f"{name}:{headers[name]}" for name in sorted(headers)] + ["", names, body]
        request = hashlib.sha256("\n".join(lines).encode()).hexdigest()
        key = f"AWS4{self.key[1]}".encode()
        for step in scope.split("/"):
            key = hmac.new(key, step.encode(), hashlib.sha256).digest()
        text = f"AWS4-HMAC-SHA256\n{now}\n{scope}\n{request}"
        signature = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
        credential = f"AWS4-HMAC-SHA256 Credential={self.key[0]}/{scope}"
        headers["Authorization"] = f"{credential},SignedHeaders={names},Signature={signature}"
        return headers

    def make_bucket(self):
        self.ask("PUT", "")


class Gcs(Xml):
    """The peer of Google Cloud Storage."""

    def __init__(self):
        self.endpoint = os.environ["IXTRACT_TEST_GCS"]
        self.account = json.load(open(os.environ["IXTRACT_TEST_GCS_KEY"]))

    def signed(self, _method, _url, headers, _data):
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import padding

        def encoded(data):
            return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

        head = encoded(json.dumps({"alg": "RS256", "typ": "JWT"}).encode())
        claims = encoded(json.dumps({"iss": "tests", "exp": int(time.time()) + 600}).encode())
        key = serialization.load_pem_private_key(self.account["private_key"].encode(), None)
        signature = key.sign(f"{head}.{claims}".encode(), padding.PKCS1v15(), hashes.SHA256())
        return headers | {"Authorization": f"Bearer {head}.{claims}.{encoded(signature)}"}

    def make_bucket(self):
        pass


class Azure(Plain):
    """Azurite, whose account and key everybody knows."""

    ACCOUNT = "devstoreaccount1"
    KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="

    def __init__(self):
        self.endpoint = os.environ["IXTRACT_TEST_AZURE"]

    def signed(self, method, url, headers, data):
        headers |= {"x-ms-version": "2021-08-06", "x-ms-date": email.utils.formatdate(usegmt=True)}
        if data:
            headers["Content-Type"] = "application/octet-stream"
        named = sorted((n.lower(), v) for n, v in headers.items() if n.startswith("x-ms-"))
        parts = urllib.parse.urlsplit(url)
        query = sorted(urllib.parse.parse_qsl(parts.query, keep_blank_values=True))
        # The account stands in an emulator's path, and once more before it.
        resource = f"/{self.ACCOUNT}{parts.path}" + "".join(f"\n{n}:{v}" for n, v in query)
        length = str(len(data)) if data else ""
        lines = [method, "", "", length, "", headers.get("Content-Type", "")] + [""] * 6
        text = "\n".join(lines + [f"{n}:{v}" for n, v in named] + [resource])
        digest = hmac.new(base64.b64decode(self.KEY), text.encode(), hashlib.sha256).digest()
        token = base64.b64encode(digest).decode()
        return headers | {"Authorization": f"SharedKey {self.ACCOUNT}:{token}"}

    def make_bucket(self):
        try:
            self.ask("PUT", "", [("restype", "container")])
        except urllib.error.HTTPError as error:
            if error.code != 409:
                raise

    def objects(self, prefix, uncommitted=False):
        found, marker = [], None
        while True:
            query = [("comp", "list"), ("prefix", prefix), ("restype", "container")]
            query += [("include", "uncommittedblobs")] if uncommitted else []
            query += [("marker", marker)] if marker else []
            page = ET.fromstring(self.ask("GET", "", query))
            for blob in page.iter("Blob"):
                found.append((blob.findtext("Name"), int(blob.findtext(".//Content-Length"))))
            marker = page.findtext("NextMarker")
            if not marker:
                return found

    def uploads(self, prefix):
        return []

    def put(self, key, data):
        self.ask("PUT", key, data=data, headers=[("x-ms-blob-type", "BlockBlob")])


def store(name):
    if name == "seaweed":
        return S3(os.environ["IXTRACT_TEST_S3"], ("ixtract-tests", "only-for-tests"))
    if name == "moto":
        key = os.environ.get("IXTRACT_TEST_MOTO_KEY", "unknown:unknown")
        return S3(os.environ["IXTRACT_TEST_MOTO"], key.split(":"))
    return Gcs() if name == "gcs" else Azure()


def patiently(work):
    for _ in range(200):
        try:
            return work()
        except Exception as error:  # whatever a store says that is not ready yet
            last = error
            time.sleep(0.1)
    sys.exit(f"no store: {last}")


def ready(name):
    one = store(name)
    patiently(one.make_bucket)
    if name == "moto":
        # Its first requests go unchecked, and these are as many as it was told to let pass.
        key = make_user("tests", [])
        one.objects("")
        print(key)
    else:
        # SeaweedFS needs time to make a place for the first object.
        patiently(lambda: one.put("warm", b"x"))


def make_user(name, denied):
    import boto3

    moto = store("moto")
    known = {"aws_access_key_id": moto.key[0], "aws_secret_access_key": moto.key[1]}
    iam = boto3.client("iam", endpoint_url=moto.endpoint, region_name=moto.REGION, **known)
    iam.create_user(UserName=name)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    statements = [{"Effect": "Allow", "Action": "*", "Resource": "*"}]
    if denied:
        statements.append({"Effect": "Deny", "Action": denied, "Resource": "*"})
    policy = json.dumps({"Version": "2012-10-17", "Statement": statements})
    iam.put_user_policy(UserName=name, PolicyName="all", PolicyDocument=policy)
    return f"{key['AccessKeyId']}:{key['SecretAccessKey']}"


def user(name, *denied):
    print(make_user(name, list(denied)))


def bucket(name):
    store(name).make_bucket()


def keys(name, prefix):
    for key, size in store(name).objects(prefix):
        print(f"{size}\t{key}")


def uploads(name, prefix):
    for key in store(name).uploads(prefix):
        print(key)


def end(name, key):
    store(name).end(key)


def header(name, key, wanted):
    one = store(name)
    one.ask("HEAD", key)
    print(one.headers.get(wanted, ""))


def fetch(name, prefix, directory):
    source = store(name)
    for key, _ in source.objects(prefix):
        path = pathlib.Path(directory) / key.removeprefix(prefix).lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(source.get(key))


def put(name, key, text):
    store(name).put(key, text.encode())


def remove(name, key):
    store(name).remove(key)


if __name__ == "__main__":
    command, *arguments = sys.argv[1:]
    {f.__name__: f for f in (ready, bucket, end, header, keys, uploads, fetch, put, remove, user)}[command](*arguments)
