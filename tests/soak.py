#!/usr/bin/env python3
"""Reads two datasets of accounts again and again while runs replace them.

    soak.py DATASET BUCKET_PREFIX ROWS TOTAL STOP

DATASET is a directory, BUCKET_PREFIX a prefix in the bucket of SeaweedFS. Whatever is published must
be whole: ROWS accounts, no id twice, balances that add up to TOTAL. A file that went away after it was
listed is part of life, as is a dataset that is not there yet. Prints `ready`, and at the end, when the
file STOP is there, how often each dataset was read whole and how often a file had gone.
"""

import io
import json
import pathlib
import sys
import urllib.error

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import store

dataset, prefix, rows, total, stop = sys.argv[1:6]
rows, total, stop = int(rows), int(total), pathlib.Path(stop)
dataset, bucket = pathlib.Path(dataset), store.store("seaweed")


def check(parts, whose):
    table = pa.concat_tables([pq.read_table(part, columns=["id", "balance"]) for part in parts])
    distinct = pc.count_distinct(table["id"]).as_py()
    held = pc.sum(table["balance"]).as_py()
    found = (table.num_rows, distinct, held)
    assert found == (rows, rows, total), f"{whose}: {found} and not {(rows, rows, total)}"


def local_by_manifest():
    manifest = json.loads((dataset / "_manifest.json").read_text())
    # Opened before any is read: what is open stays whole.
    files = [open(dataset / file["path"], "rb") for file in manifest["files"]]
    check(files, f"{dataset} by its manifest")


def local_by_listing():
    names = sorted(dataset.glob("part-*.parquet"))
    if not names:
        raise FileNotFoundError
    check([open(name, "rb") for name in names], f"{dataset} by its names")


def remote():
    def get(name):
        return bucket.get(f"{prefix}/{name}")

    files = json.loads(get("_manifest.json"))["files"]
    check([io.BytesIO(get(file["path"])) for file in files], prefix)


whole = {"manifest": 0, "listing": 0, "store": 0}
missing = 0
ways = {"manifest": local_by_manifest, "listing": local_by_listing, "store": remote}
print("ready", flush=True)
while True:
    # The last round is after everything has ended.
    last = stop.exists()
    for way, read in ways.items():
        try:
            read()
            whole[way] += 1
        except FileNotFoundError:
            missing += 1
        except urllib.error.HTTPError as error:
            assert error.code == 404, error
            missing += 1
    if last:
        break
print(json.dumps([whole, missing]))
