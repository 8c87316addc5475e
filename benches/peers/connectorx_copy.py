"""Copies a table into Parquet with ConnectorX: connectorx_copy.py URL TABLE KEY OUTPUT SESSIONS."""

import sys

import connectorx
import pyarrow.parquet

url, table, key, output, sessions = sys.argv[1:]
rows = connectorx.read_sql(
    url,
    f"SELECT * FROM {table}",
    partition_on=key,
    partition_num=int(sessions),
    return_type="arrow",
)
pyarrow.parquet.write_table(rows, f"{output}/part.parquet", compression="snappy")
