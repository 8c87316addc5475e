#!/usr/bin/env python3
"""Reads Parquet with other people's code, and prints what it holds as canonical text.

    read.py DATASET... [--engine pyarrow|duckdb|polars] [--order-by COLUMN,...]
    read.py DATASET... [--engine ...] --schema
    read.py DATASET... --stats

A DATASET is a file, or a directory: the files its _manifest.json lists, else its *.parquet.

Rows: a JSON array a line, each value a string or null.
    integers, decimals   exact digits, never an exponent
    floats               the shortest text that reads back (Python's repr); nan, inf, -inf, -0.0
    booleans             true, false
    dates                YYYY-MM-DD, the year with at least four digits and, before year 1, a sign
                         (astronomical years: 1 BC is 0000)
    times                hh:mm:ss.ffffff, nine digits where six do not hold the value
    timestamps           <date>T<time>, with a Z where the column is adjusted to UTC
    binary               hex
    uuid                 xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx
    lists                a JSON array of such values
Without --order-by rows come in the order of the files. NULLs sort last.

--schema: an object a line for each column, with `type` in the engine's own words, and from the
footer `physical`, `logical` (a list's element's), `nullable` and the field's `metadata`.

--stats: an object a line for each row group: `file`, `row_group`, `rows`, `bytes` and, in
`columns` by path, `min` and `max` (the physical value; text as it is, other bytes as hex),
`nulls`, `compression`, `encodings`.

No files at all are an error, and so are files whose schemas differ.
"""

import argparse
import glob
import json
import struct
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("datasets", nargs="+", type=Path)
    parser.add_argument("--engine", choices=sorted(ENGINES), default="pyarrow")
    parser.add_argument("--order-by", type=lambda names: names.split(","), default=[])
    parser.add_argument("--schema", action="store_true")
    parser.add_argument("--stats", action="store_true")
    options = parser.parse_args()

    files = [file for dataset in options.datasets for file in dataset_files(dataset)]
    if not files:
        sys.exit(f"no Parquet files in {', '.join(map(str, options.datasets))}")
    require_one_schema(files)
    read, types = ENGINES[options.engine]
    if options.stats:
        lines = row_groups(files)
    elif options.schema:
        lines = columns(files[0], types([str(file) for file in files]))
    else:
        table = read([str(file) for file in files])
        lines = rows(table, options.order_by, uuid_columns(files[0]))
    for line in lines:
        print(json.dumps(line, ensure_ascii=False))


def dataset_files(dataset):
    if dataset.is_file():
        return [dataset]
    manifest = dataset / "_manifest.json"
    if manifest.is_file():
        listed = json.loads(manifest.read_text())["files"]
        return [dataset / file["path"] for file in listed]
    return sorted(dataset.glob("*.parquet"))


def require_one_schema(files):
    first = read_schema(files[0])
    for file in files[1:]:
        schema = read_schema(file)
        if not schema.equals(first, check_metadata=True):
            sys.exit(f"{file} has another schema than {files[0]}:\n{schema}\n--- not\n{first}")


def read_schema(file):
    """The columns with their metadata, without what the footer says of the file."""
    return pq.read_schema(file).remove_metadata()


# The engines: each a function from paths to an Arrow table, and one to its names for the types.


def read_pyarrow(paths):
    return pa.concat_tables([pq.read_table(path, partitioning=None) for path in paths])


def types_pyarrow(paths):
    return [str(field.type) for field in pq.read_schema(paths[0])]


def duckdb_relation(paths):
    import duckdb

    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    # The connection has to outlive its relation. A path is no pattern.
    return connection, connection.read_parquet([glob.escape(path) for path in paths])


def read_duckdb(paths):
    _connection, relation = duckdb_relation(paths)
    return relation.to_arrow_table()


def types_duckdb(paths):
    _connection, relation = duckdb_relation(paths)
    return [str(type_) for type_ in relation.types]


def read_polars(paths):
    import polars

    return polars.read_parquet(paths, glob=False).to_arrow()


def types_polars(paths):
    import polars

    schema = polars.scan_parquet(paths, glob=False).collect_schema()
    return [str(type_) for type_ in schema.values()]


ENGINES = {
    "pyarrow": (read_pyarrow, types_pyarrow),
    "duckdb": (read_duckdb, types_duckdb),
    "polars": (read_polars, types_polars),
}


# Rows.


def rows(table, order_by, uuids):
    if order_by:
        keys = pa.table({name: storage(table[name]) for name in order_by})
        order = [(name, "ascending", "at_end") for name in order_by]
        table = table.take(pc.sort_indices(keys, order))
    texts = []
    for name, column in zip(table.column_names, table.columns):
        chunks = [canonical(chunk, name in uuids) for chunk in column.chunks]
        texts.append([text for chunk in chunks for text in chunk])
    return zip(*texts)


def canonical(array, is_uuid):
    """The texts of an array's values, None for null."""
    type_ = array.type
    if isinstance(type_, pa.BaseExtensionType):
        return canonical(array.storage, is_uuid)
    if pa.types.is_dictionary(type_):
        return canonical(array.dictionary_decode(), is_uuid)
    if is_list(type_):
        return [None if value is None else compact(value) for value in lists(array, is_uuid)]
    to_text = text_of(type_, is_uuid)
    if pa.types.is_temporal(type_):
        # Python's own dates end with the year 9999.
        array = array.view(pa.int32() if type_.bit_width == 32 else pa.int64())
    return [None if value is None else to_text(value) for value in array.to_pylist()]


def is_list(type_):
    return pa.types.is_list(type_) or pa.types.is_large_list(type_)


def lists(array, is_uuid):
    """Lists of canonical texts, of lists where the type nests deeper."""
    elements = lists if is_list(array.type.value_type) else canonical
    return [elements(item.values, is_uuid) if item.is_valid else None for item in array]


def compact(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def text_of(type_, is_uuid):
    """The function from one of a type's Python values to its canonical text."""
    is_ = pa.types
    if is_.is_boolean(type_):
        return lambda value: "true" if value else "false"
    if is_.is_floating(type_):
        return float_text(type_)
    if is_.is_decimal(type_):
        return lambda value: format(value, "f")
    if is_.is_date(type_):
        per_day = 1 if is_.is_date32(type_) else 86_400_000
        return lambda value: date_text(value // per_day)
    if is_.is_timestamp(type_):
        return timestamp_text(type_)
    if is_.is_time(type_):
        return lambda value: time_text(value, type_.unit)
    if is_.is_binary(type_) or is_.is_large_binary(type_) or is_.is_fixed_size_binary(type_) \
            or type_ == pa.binary_view():
        return uuid_text if is_uuid else bytes.hex
    if is_.is_integer(type_) or type_ in (pa.string(), pa.large_string(), pa.string_view()):
        return str
    raise TypeError(f"no canonical text for {type_}")


def float_text(type_):
    if type_.bit_width == 64:
        return repr

    # The shortest text of a float32, not of the double it widens to.
    def text(value):
        if value != value or value in (float("inf"), float("-inf")):
            return repr(value)
        for digits in range(1, 10):
            short = float(f"{value:.{digits}g}")
            if struct.pack("f", short) == struct.pack("f", value):
                break
        return repr(short)

    return text


def timestamp_text(type_):
    per_second = PER_SECOND[type_.unit]
    zone = "Z" if type_.tz else ""

    def text(value):
        day, rest = divmod(value, 86_400 * per_second)
        return f"{date_text(day)}T{time_text(rest, type_.unit)}{zone}"

    return text


def time_text(value, unit):
    seconds, rest = divmod(value, PER_SECOND[unit])
    fraction = f"{rest * 10**9 // PER_SECOND[unit]:09}".removesuffix("000")
    hours, minutes = seconds // 3600, seconds // 60 % 60
    return f"{hours:02}:{minutes:02}:{seconds % 60:02}.{fraction}"


def date_text(days):
    """The proleptic Gregorian date of a day after 1970-01-01, for any year."""
    # Days in eras of 400 years that begin on March 1st, so that the leap day comes last.
    era, day_of_era = divmod(days + 719_468, 146_097)
    year_of_era = (day_of_era - day_of_era // 1460 + day_of_era // 36_524
                   - day_of_era // 146_096) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    shifted_month = (5 * day_of_year + 2) // 153
    day = day_of_year - (153 * shifted_month + 2) // 5 + 1
    month = shifted_month + 3 if shifted_month < 10 else shifted_month - 9
    year = era * 400 + year_of_era + (month <= 2)
    return f"{'-' if year < 0 else ''}{abs(year):04}-{month:02}-{day:02}"


def uuid_text(value):
    digits = value.hex()
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def storage(column):
    """The column with the values that an extension type only names, which sorting does not know."""
    if isinstance(column.type, pa.BaseExtensionType):
        return pa.chunked_array([c.storage for c in column.chunks], column.type.storage_type)
    return column


# The footer.


def leaves(file):
    """The footer's columns, by the top-level name they belong to."""
    by_name = {}
    schema = pq.ParquetFile(file).schema
    for i in range(len(schema)):
        column = schema.column(i)
        by_name.setdefault(top_level(file, column.path), []).append(column)
    return by_name


def top_level(file, path):
    """The column a dotted path belongs to; a name may have dots itself."""
    names = [name for name in pq.read_schema(file).names
             if path == name or path.startswith(name + ".")]
    return max(names, key=len)


def uuid_columns(file):
    """Polars has no fixed-size binary, so whether 16 bytes are a UUID comes from the footer."""
    return {name for name, columns_ in leaves(file).items()
            if all(column.logical_type.type == "UUID" for column in columns_)}


def columns(file, engine_types):
    by_name = leaves(file)
    for field, engine_type in zip(pq.read_schema(file), engine_types, strict=True):
        leaf, = by_name[field.name]
        metadata = {key.decode(): value.decode() for key, value in (field.metadata or {}).items()}
        yield {
            "name": field.name,
            "type": engine_type,
            "physical": leaf.physical_type,
            "logical": str(leaf.logical_type),
            "nullable": field.nullable,
            "metadata": metadata,
        }


def row_groups(files):
    for file in files:
        footer = pq.read_metadata(file)
        for number in range(footer.num_row_groups):
            group = footer.row_group(number)
            chunks = [group.column(i) for i in range(group.num_columns)]
            yield {
                "file": file.name,
                "row_group": number,
                "rows": group.num_rows,
                "bytes": group.total_byte_size,
                "columns": {chunk.path_in_schema: column_chunk(chunk) for chunk in chunks},
            }


def column_chunk(chunk):
    statistics = chunk.statistics
    bounded = statistics is not None and statistics.has_min_max
    return {
        "min": raw_text(statistics, statistics.min_raw) if bounded else None,
        "max": raw_text(statistics, statistics.max_raw) if bounded else None,
        "nulls": statistics.null_count if statistics and statistics.has_null_count else None,
        "compression": chunk.compression,
        "encodings": list(chunk.encodings),
    }


def raw_text(statistics, raw):
    if not isinstance(raw, bytes):
        return str(raw).lower() if isinstance(raw, bool) else str(raw)
    is_text = statistics.logical_type.type in ("STRING", "JSON", "ENUM")
    return raw.decode(errors="replace") if is_text else raw.hex()


if __name__ == "__main__":
    main()
