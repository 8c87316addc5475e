#!/usr/bin/env python3
"""Reads CSV files with other people's code, and prints a JSON array of texts and nulls for each row.

    read_csv.py FILE... [--engine python|duckdb] [--delimiter C] [--null TEXT] [--no-header]

The first array is the header, where there is one. Files may be compressed (.gz, .zst). Every
value is the text that stands in the file. Python's csv module does not tell whether a field was
quoted, so with it whatever equals the text for NULL is null.
"""

import argparse
import csv
import io
import json
import sys

import duckdb
import pyarrow as pa


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("files", nargs="+")
    parser.add_argument("--engine", choices=["python", "duckdb"], default="python")
    parser.add_argument("--delimiter", default=",")
    parser.add_argument("--null", default="")
    parser.add_argument("--no-header", action="store_true")
    options = parser.parse_args()
    csv.field_size_limit(sys.maxsize)
    read = {"python": read_python, "duckdb": read_duckdb}[options.engine]
    header = None
    for file in options.files:
        names, rows = read(file, options)
        if header is None and names is not None:
            print(json.dumps(names))
        if header is not None and names != header:
            sys.exit(f"{file} has another header: {names} and not {header}")
        header = names
        for row in rows:
            print(json.dumps(row))


def read_python(file, options):
    with pa.input_stream(file) as stream:
        text = stream.read().decode("utf-8")
    lines = csv.reader(
        io.StringIO(text, newline=""), delimiter=options.delimiter, strict=True
    )
    names = None if options.no_header else next(lines)
    return names, ([null(value, options.null) for value in line] for line in lines)


def null(value, text):
    return None if value == text else value


def read_duckdb(file, options):
    connection = duckdb.connect()
    relation = connection.execute(
        """SELECT * FROM read_csv(?, auto_detect = false, columns = ?, delim = ?, quote = '"',
            escape = '"', header = ?, nullstr = ?, allow_quoted_nulls = false,
            max_line_size = 100000000, buffer_size = 500000000, parallel = false)""",
        [
            file,
            {name: "VARCHAR" for name in columns(file, options)},
            options.delimiter,
            not options.no_header,
            options.null,
        ],
    )
    names = [column[0] for column in relation.description]
    rows = [list(row) for row in relation.fetchall()]
    return None if options.no_header else names, rows


def columns(file, options):
    """The names of a file's columns; DuckDB is told them, so that it guesses nothing."""
    names, rows = read_python(file, options)
    return names or [f"c{number}" for number, _ in enumerate(next(rows, []))]


if __name__ == "__main__":
    main()
