"""Copies a table into Parquet with DuckDB: duckdb_copy.py EXTENSION SOURCE KIND TABLE OUTPUT THREADS."""

import importlib
import pathlib
import sys

import duckdb

extension, source, kind, table, output, threads = sys.argv[1:]
package = pathlib.Path(importlib.import_module(f"duckdb_extension_{extension}").__file__).parent
[file] = package.rglob(f"{extension}.duckdb_extension")
connection = duckdb.connect(config={"threads": int(threads)})
connection.execute(f"LOAD '{file}'")
connection.execute(f"ATTACH '{source}' AS source (TYPE {kind}, READ_ONLY)")
connection.execute(
    f"COPY (SELECT * FROM source.{table}) TO '{output}' "
    "(FORMAT parquet, COMPRESSION snappy, PER_THREAD_OUTPUT)"
)
