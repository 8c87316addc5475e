#!/usr/bin/env python3
"""Extracts every relation of a PostgreSQL database and compares it with the server, value by value.

    regression_tables.py URL [--binary target/debug/ixtract] [--only PATTERN] [--flags "FLAGS FOR RUN"]

Made for the `regression` database that PostgreSQL's own tests leave behind (CONTRIBUTING.md says how to
make it), and good for any other. A relation passes when pyarrow reads exactly the rows that the server
prints, as a multiset, or when the run refuses with a documented exit code and the three lines of a
failure. Where the refusal names `--type` flags, it is run again with them and then has to be equal.
What it prints: a line for each relation that was refused or differs, then the sums; it ends with 1 when
any differs.
"""

import argparse
import collections
import json
import re
import shlex
import struct
import subprocess
import sys
import tempfile
import uuid
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

RELATIONS = """
    SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname), c.relkind
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND c.relpersistence <> 't'
      AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
    ORDER BY 1"""

# What makes the server's text the same whatever its defaults are, and the same as ixtract's.
PINNED = """SET DateStyle = ISO; SET TimeZone = 'UTC'; SET bytea_output = hex; SET IntervalStyle = iso_8601;
    SET extra_float_digits = 3; SET xmlbinary = base64; SET enable_seqscan = on; {path}"""

ESCAPES = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "\\": "\\"}

DOCUMENTED = {1, 2, 77}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("--binary", default="target/debug/ixtract")
    parser.add_argument("--only", default="")
    parser.add_argument("--flags", default="", type=shlex.split)
    options = parser.parse_args()
    sums = collections.Counter()
    rows = 0
    for name, kind in server(options.url, RELATIONS, ""):
        if not re.search(options.only, name):
            continue
        verdict, text, count = judge(options, name, kind)
        sums[verdict] += 1
        rows += count
        if not verdict.startswith("equal"):
            print(f"{verdict}: {name} ({kind}): {text}", flush=True)
    print(", ".join(f"{count} {verdict}" for verdict, count in sorted(sums.items())), f"({rows} rows)")
    sys.exit(1 if sums["different"] else 0)


def judge(options, name, kind, told=()):
    """A relation's verdict, what to say of it, and how many rows were equal."""
    with tempfile.TemporaryDirectory() as home:
        output = Path(home) / "out"
        command = [options.binary, "run", name, "--source", options.url, "--output", str(output)]
        command += ["--state", str(Path(home) / "state.db"), "--json", *options.flags, *told]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            verdict, text, flags = refusal(done)
            if flags and not told:
                return judge(options, name, kind, flags)
            return verdict, text, 0
        manifest = json.loads((output / "_manifest.json").read_text())
        files = [output / file["path"] for file in manifest["files"]]
        schema = pq.read_schema(files[0])
        tables = [pq.ParquetFile(file).read() for file in files]
        read = collections.Counter()
        for table in tables:
            columns = [texts(column) for column in table.columns]
            read.update(zip(*columns) if columns else [()] * table.num_rows)
    # Casts inside views print names by the role's path, as the view's own functions need it.
    path = "" if kind == "v" else "SET search_path = pg_catalog"
    sql = f"SELECT {', '.join(expression(field) for field in schema)} FROM {name}"
    expected = collections.Counter(server(options.url, sql, path))
    if read == expected:
        return "equal as told" if told else "equal", "", sum(read.values())
    lost, more = expected - read, read - expected
    text = f"{sum(lost.values())} rows lost, {sum(more.values())} too many"
    for what, counter in (("lost", lost), ("more", more)):
        for row in list(counter)[:1]:
            text += f"\n    {what}: {row!r:.1500}"
    return "different", text, 0


def refusal(done):
    """What a failed run's verdict is, its text, and the flags that it says would do."""
    try:
        error = json.loads(done.stdout)["error"]
        lines = [error["what"], error["why"], error["fix"]]
    except (ValueError, KeyError, TypeError):
        return "different", f"exit {done.returncode}: {done.stdout} {done.stderr}", []
    text = f"exit {done.returncode}: " + " | ".join(lines)
    known = done.returncode in DOCUMENTED and all(lines)
    told = lines[2].split(", or ")[0].removeprefix("pass ") if "--type" in lines[2] else ""
    return ("refused" if known else "different"), text, shlex.split(told)


def server(url, sql, path):
    """The rows of a statement as the server's texts, NULL as None."""
    command = ["psql", url, "-XAtq", "-v", "ON_ERROR_STOP=1"]
    statement = " ".join(sql.split("\n"))
    script = f"{PINNED.format(path=path)};\nCOPY ({statement}) TO STDOUT;\n"
    done = subprocess.run(command, input=script.encode(), capture_output=True)
    if done.returncode != 0:
        raise RuntimeError(f"{sql}: {done.stderr.decode()}")
    lines = done.stdout.decode().split("\n")[:-1]
    return [tuple(map(unescape, line.split("\t"))) if line or "," in sql else () for line in lines]


def unescape(text):
    if text == "\\N":
        return None
    return re.sub(r"\\(.)", lambda match: ESCAPES.get(match[1], match[1]), text)


def expression(field):
    name = '"' + field.name.replace('"', '""') + '"'
    if pa.types.is_list(field.type):
        return (
            f"CASE WHEN {name} IS NOT NULL THEN pg_catalog.array_to_json(ARRAY(SELECT "
            f"{scalar('e', field.type.value_type, field)} FROM pg_catalog.unnest({name}) "
            f"WITH ORDINALITY AS u(e, n) ORDER BY n))::text END"
        )
    return scalar(name, field.type, field)


def scalar(name, kind, field):
    """SQL for a value as text that both sides spell alike: numbers of days or microseconds for times,
    bits for floats."""
    if pa.types.is_date(kind):
        return f"({name} - date '1970-01-01')::text"
    if pa.types.is_time(kind) or pa.types.is_timestamp(kind):
        return f"(extract(epoch FROM {name}) * 1000000)::numeric(40,0)::text"
    if pa.types.is_floating(kind):
        send = "float4send" if pa.types.is_float32(kind) else "float8send"
        return f"CASE WHEN {name} = 'NaN' THEN 'NaN' ELSE encode({send}({name}), 'hex') END"
    if pa.types.is_binary(kind):
        return f"encode({name}, 'hex')"
    source = (field.metadata or {}).get(b"ixtract.source_type", b"").decode()
    if pa.types.is_decimal(kind) and source.startswith("money"):
        return f"{name}::numeric::text"
    if source.startswith(("character(", "bpchar")):
        # A cast to text would cut the padding off, which belongs to the value.
        return f"textin(bpcharout({name}))"
    return f"{name}::text"


def texts(column):
    return [text(value) for value in column.combine_chunks()] if column.num_chunks else []


def text(value):
    """A value that pyarrow read, spelled as `scalar` has the server spell it."""
    if not value.is_valid:
        return None
    kind = value.type
    if isinstance(value, pa.ExtensionScalar):
        return text(value.value)
    if pa.types.is_list(kind):
        return json.dumps([text(element) for element in value.values], ensure_ascii=False, separators=(",", ":"))
    if pa.types.is_date(kind) or pa.types.is_time(kind) or pa.types.is_timestamp(kind):
        return str(value.value)
    if pa.types.is_floating(kind):
        number = value.as_py()
        if number != number:
            return "NaN"


        return struct.pack(">f" if pa.types.is_float32(kind) else ">d", number).hex()
    if pa.types.is_binary(kind):
        return value.as_py().hex()
    if pa.types.is_fixed_size_binary(kind):
        return str(uuid.UUID(bytes=value.as_py()))
    if pa.types.is_boolean(kind):
        return "true" if value.as_py() else "false"
    if pa.types.is_decimal(kind):
        return format(value.as_py(), "f")
    return str(value.as_py())


if __name__ == "__main__":
    main()
