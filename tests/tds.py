"""Reads a table of the TDS peer with clients of other makers.

    tds.py CLIENT HOST PORT USER PASSWORD DATABASE SQL

CLIENT is `pymssql` (FreeTDS) or `mssql` (Microsoft's own mssql-python). Prints each row as a JSON list of
texts, null for NULL, written as tests/read.py writes what it reads.
"""

import datetime as dt
import decimal
import json
import sys
import uuid


def shown(value):
    if value is None:
        return None
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, decimal.Decimal):
        return f"{value:f}"
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value).hex()
    if isinstance(value, dt.datetime):
        if value.tzinfo is not None:
            return value.astimezone(dt.timezone.utc).replace(tzinfo=None).isoformat("T", "microseconds") + "Z"
        return value.isoformat("T", "microseconds")
    if isinstance(value, dt.time):
        return value.isoformat("microseconds")
    if isinstance(value, uuid.UUID):
        return str(value).lower()
    return str(value)


def main():
    client, host, port, user, password, database, sql = sys.argv[1:]
    if client == "pymssql":
        import pymssql
        link = pymssql.connect(server=host, port=port, user=user, password=password, database=database,
                               tds_version="7.4", autocommit=True)
    else:
        import mssql_python
        link = mssql_python.connect(
            f"Server={host},{port};Database={database};UID={user};PWD={password};"
            "Encrypt=yes;TrustServerCertificate=yes", autocommit=True)
    cursor = link.cursor()
    cursor.execute(sql)
    for row in cursor.fetchall():
        print(json.dumps([shown(value) for value in row]))


main()
