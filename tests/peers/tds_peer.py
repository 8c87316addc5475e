"""A peer that speaks TDS, for tests: not Microsoft's server, and no proof of how that one behaves.

    tds_peer.py PORT REDIRECTING_PORT DIRECTORY CERTIFICATE KEY PASSWORD

pysqlbridge brings the protocol (packets, encryption, login, requests, the framing of answers), sqlglot
reads T-SQL, and SQLite keeps and selects the rows, in WAL mode: a transaction of SNAPSHOT isolation is a
real one. Types are those of tds_types.py. Locks of tables, rights, the catalogue and the sessions are kept
here, as far as ixtract asks for them. Logins are `sa` and those of CREATE LOGIN. Whoever connects to the
second port is sent on to the first, as Azure's gateway does it.
"""

import contextlib
import hashlib
import re
import socket
import sqlite3
import ssl
import struct
import sys
import threading
import time
import uuid
import weakref
from dataclasses import dataclass
from pathlib import Path

import sqlglot
from sqlglot import exp
from pysqlbridge import server
from pysqlbridge.certificate import Certificate
from pysqlbridge.tds import connection, token
from pysqlbridge.tds.prelogin import Encryption, server_response
from pysqlbridge.tds.packet import (
    DEFAULT_PACKET_SIZE, TDS_74, PacketStatus, PacketType, build_packet, reassemble,
)
from pysqlbridge.tds.result import (
    SELECT_COMMAND, Column, QueryError, QueryResult, _rows, col_metadata,
)
from pysqlbridge.tds.token import DoneStatus, done, error, error_response, login_response

import tds_types as types
from tds_types import Type, parse

# Rows that are selected and sent at a time.
BLOCK = 500
CATALOGUE = """
CREATE TABLE schemas (schema_id INTEGER PRIMARY KEY, name TEXT);
CREATE TABLE objects (object_id INTEGER PRIMARY KEY, name TEXT, schema_id INT, type TEXT, is_ms_shipped INT,
    modify_date TEXT);
CREATE TABLE columns (object_id INT, column_id INT, name TEXT, user_type_id INT, system_type_id INT,
    max_length INT, precision INT, scale INT, is_nullable INT, collation_name TEXT, is_identity INT,
    is_computed INT, is_sparse INT, is_column_set INT, is_hidden INT, generated_always_type INT, declared TEXT);
CREATE TABLE types (user_type_id INTEGER PRIMARY KEY, name TEXT);
CREATE TABLE computed_columns (object_id INT, column_id INT, is_persisted INT);
CREATE TABLE extended_properties (class INT, major_id INT, minor_id INT, name TEXT, value TEXT);
CREATE TABLE indexes (object_id INT, index_id INT, name TEXT, type INT, is_primary_key INT, is_unique INT,
    is_disabled INT, is_hypothetical INT, has_filter INT);
CREATE TABLE index_columns (object_id INT, index_id INT, column_id INT, key_ordinal INT);
CREATE TABLE databases (database_id INT, name TEXT, snapshot_isolation_state INT,
    is_read_committed_snapshot_on INT);
CREATE TABLE rights (login TEXT, object_id INT, column_name TEXT);
CREATE TABLE dm_exec_requests (session_id INT, blocking_session_id INT, sql_handle TEXT);
CREATE TABLE dm_exec_sessions (session_id INT, is_user_process INT);
INSERT INTO schemas VALUES (1, 'dbo');
INSERT INTO databases VALUES (1, '', 0, 0);
"""
# What is seen only with VIEW DATABASE STATE: here, by `sa`. Of the sessions others see themselves alone.
STATE = ("dm_db_partition_stats",)
# Which locks of others each lock goes with.
TOGETHER = {"IS": ("IS", "S", "IX"), "S": ("IS", "S"), "IX": ("IS", "IX"), "X": ()}
NAMES = [name for name in (
    "bit tinyint smallint int bigint real float decimal money smallmoney date time datetime smalldatetime "
    "datetime2 datetimeoffset char varchar nchar nvarchar text ntext xml binary varbinary image timestamp "
    "uniqueidentifier sql_variant hierarchyid geometry geography sysname").split()]


class Server:
    """Databases, logins, locks and sessions."""

    def __init__(self, home, password):
        self.home, self.logins = Path(home), {"sa": password}
        self.configured = True
        # Only weakly: a session ends when its connection does, and its locks with it.
        self.sessions, self.databases = weakref.WeakValueDictionary(), {}
        self.lock = threading.Condition()
        self.gates, self.faults, self.under_way = {}, {}, {}
        # (database, object) -> {spid: mode}
        self.held = {}
        self.create("master")

    def admits(self, user, password):
        return self.logins.get(user) == password

    def create(self, name):
        home = self.home / name.encode().hex()
        home.mkdir()
        self.databases[name] = home
        for schema in ("sys", "dbo"):
            file = sqlite3.connect(home / f"{schema}.db", isolation_level=None)
            file.execute("PRAGMA journal_mode = WAL")
            if schema == "sys":
                file.executescript(CATALOGUE)
                file.execute("UPDATE databases SET name = ?", [name])
                file.executemany("INSERT INTO types VALUES (?, ?)", enumerate(NAMES, 1))
            file.close()

    def wait_for(self, session, key, mode, until_end):
        """Takes a lock, or waits until it could be had."""
        deadline = None if session.lock_timeout < 0 else time.monotonic() + session.lock_timeout / 1000
        with self.lock:
            while True:
                holders = self.held.setdefault(key, {})
                others = [s for s, m in holders.items() if s != session.spid and m not in TOGETHER[mode]]
                if not others:
                    if until_end and holders.get(session.spid) != "X":
                        holders[session.spid] = mode
                    session.blocker = None
                    return
                session.blocker = others[0]
                left = None if deadline is None else deadline - time.monotonic()
                if session.killed or (left is not None and left <= 0):
                    session.blocker = None
                    raise QueryError("Lock request time out period exceeded.", number=1222)
                self.lock.wait(0.05 if left is None else min(left, 0.05))

    def release(self, session):
        with self.lock:
            for holders in self.held.values():
                holders.pop(session.spid, None)
            self.lock.notify_all()


@dataclass(frozen=True)
class Named(Column):
    """A column whose name is counted in units of UTF-16, as the protocol has it."""

    def metadata(self, tds_version=TDS_74):
        raw = super().metadata(tds_version)
        name = self.name.encode("utf-16-le")
        head = raw[:len(raw) - len(name) - 1]
        return head + bytes([len(name) // 2]) + name


def counted(pack):
    """A text behind its number of units of UTF-16."""
    return lambda text: pack(len(text.encode("utf-16-le")) // 2) + text.encode("utf-16-le")


token._b_varchar = counted(lambda count: bytes([count]))
token._us_varchar = counted(struct.Struct("<H").pack)


@dataclass(frozen=True)
class Stream(QueryResult):
    """An answer that is sent while it is selected."""

    cursor: object = None
    peer: object = None
    session: object = None

    def encode(self, tds_version=TDS_74, server=""):
        count, rows = 0, self.rows
        pending = col_metadata(self.columns, tds_version)
        while rows:
            count += len(rows)
            pending = self.peer.pour(pending + _rows(self.columns, rows))
            try:
                rows = self.cursor.fetchmany(BLOCK)
            except sqlite3.Error as problem:
                # In the middle of the rows, where it ends them.
                said = self.session.says(problem)
                return (pending + error(said.number, str(said), tds_version=tds_version)
                        + done(status=DoneStatus.ERROR, tds_version=tds_version))
        return pending + done(status=DoneStatus.COUNT, current_command=SELECT_COMMAND, row_count=count,
                              tds_version=tds_version)


class Session:
    """One connection's database, transaction and settings."""

    def __init__(self, home, spid, login, database, cord, peer):
        self.peer = weakref.ref(peer)
        self.server, self.spid, self.login, self.database, self.cord = home, spid, login, database, cord
        self.lock_timeout, self.isolation, self.open = -1, "READ COMMITTED", False
        self.blocker, self.killed, self.text, self.seen = None, False, "", False
        self.fault, self.only_reads = None, False
        self.db = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False, timeout=30)
        for name, order in types.ORDERS.items():
            self.db.create_collation(name, order)
        self.collations = set()
        directory = home.databases[database]
        for file in sorted(directory.glob("*.db")):
            self.db.execute(f"ATTACH ? AS {quoted(file.stem)}", [str(file)])
        self.schemas = {file.stem for file in directory.glob("*.db")}
        for name, count, function in FUNCTIONS:
            # Only weakly: a session ends when its connection does.
            self.db.create_function(name, count, lambda *given, f=function, own=weakref.ref(self): f(own(), *given))
        self.db.create_aggregate("tds_sum", 1, Decimals)
        home.sessions[spid] = self

    def __del__(self):
        self.db.close()
        self.server.release(self)

    def collation(self, name):
        if name and name not in self.collations and name not in types.ORDERS:
            self.collations.add(name)
            self.db.create_collation(name, types.words(name))

    def attach(self):
        """Schemas that others have created since."""
        for file in self.server.databases[self.database].glob("*.db"):
            if file.stem not in self.schemas and not self.db.in_transaction:
                self.db.execute(f"ATTACH ? AS {quoted(file.stem)}", [str(file)])
                self.schemas.add(file.stem)

    # -- statements ---------------------------------------------------------------------------------

    def answer(self, query):
        """Answers a request: each of its statements in turn."""
        self.text, results = query.sql, []
        self.attach()
        for name, in self.db.execute("SELECT DISTINCT collation_name FROM sys.columns").fetchall():
            self.collation(name)
        try:
            for statement in split(query.sql):
                results += [result for result in [self.run(statement, query.parameters)] if result]
        except QueryError:
            if self.open and self.db.in_transaction:
                self.end("ROLLBACK")
            raise
        except sqlite3.Error as error:
            raise self.says(error) from None
        finally:
            if not self.open:
                self.server.release(self)
        first = results[0] if results else QueryResult(columns=[], rows=[])
        if isinstance(first, Stream):
            return first
        return QueryResult(first.columns, first.rows, following=tuple(results[1:]))

    def says(self, error):
        """What an error of SQLite's is to the client: that of a test, or its own."""
        if self.fault is not None:
            said, self.fault = self.fault, None
            return said
        print(f"{error}: {self.text}", file=sys.stderr, flush=True)
        return translated(error)

    def run(self, text, parameters):
        for pattern, method in STATEMENTS:
            match = re.match(pattern, text, re.I | re.S)
            if match:
                return method(self, *match.groups())
        tree = read(text)
        if isinstance(tree, exp.Query):
            return self.select(tree, parameters)
        if isinstance(tree, (exp.Insert, exp.Update, exp.Delete)):
            return self.change(tree, parameters)
        if isinstance(tree, (exp.Set, exp.Command)) or text[:3].upper() in ("SET", "USE"):
            return None
        raise QueryError(f"This peer does not know '{text[:60]}'.", number=102)

    def begin(self):
        self.open, self.seen = True, False

    def end(self, how):
        if self.db.in_transaction:
            self.db.execute(how)
        self.open = False
        self.server.release(self)

    def ready(self):
        """Begins SQLite's transaction where T-SQL's is open."""
        if self.open and not self.db.in_transaction:
            self.db.execute("BEGIN")

    def select(self, tree, parameters):
        reader = Reader(self, parameters)
        sql, columns = reader.select(tree)
        hints = {v.name.upper() for h in tree.find_all(exp.WithTableHint) for v in h.expressions}
        keep = self.open and ("HOLDLOCK" in hints or self.isolation == "SERIALIZABLE")
        for key in reader.tables:
            self.server.wait_for(self, key, "S" if keep else "IS", keep)
        if self.isolation == "SNAPSHOT" and reader.tables and not self.seen:
            allowed = self.db.execute("SELECT snapshot_isolation_state FROM sys.databases").fetchone()
            if allowed != (1,):
                raise QueryError(
                    f"Snapshot isolation transaction failed accessing database '{self.database}' because "
                    "snapshot isolation is not allowed in this database.", number=3952)
            self.seen = True
        if reader.tables or self.db.in_transaction:
            self.ready()
        cursor = self.db.execute(sql, reader.values)
        rows = cursor.fetchmany(BLOCK)
        columns = [(name, kind or types.guess(next((r[at] for r in rows if r[at] is not None), 0)))
                   for at, (name, kind) in enumerate(columns)]
        columns = [Named(name, types.wire(kind)) for name, kind in columns]
        if len(rows) < BLOCK:
            return QueryResult(columns, rows)
        return Stream(columns, rows, cursor=cursor, peer=self.peer(), session=self)

    def change(self, tree, parameters):
        reader = Reader(self, parameters)
        sql, rows = reader.change(tree)
        for key in reader.tables:
            self.server.wait_for(self, key, "IX", True)
        self.ready()
        if rows:
            self.db.executemany(sql, rows)
        else:
            self.db.execute(sql, reader.values)

    def described(self, text):
        """What dm_exec_describe_first_result_set says of a text."""
        try:
            tree = read(next(iter(split(text)), ""))
            if not isinstance(tree, exp.Query):
                return []
            for inner in tree.find_all(exp.Subquery):
                if inner.this.args.get("order") and not inner.this.args.get("limit"):
                    raise QueryError("The ORDER BY clause is invalid in derived tables, unless TOP is also "
                                     "specified.", number=1033)
            reader = Reader(self, {})
            sql, columns = reader.select(tree)
            self.db.execute("EXPLAIN " + sql, reader.values)
        except sqlite3.Error as error:
            error = translated(error)
            return [(None, None, None, None, error.number, str(error), None, 0)]
        except QueryError as error:
            return [(None, None, None, None, error.number, str(error), None, 0)]
        return [(at, name, (kind or Type("int")).shown(), kind and kind.collation, None, None, None, 0)
                for at, (name, kind) in enumerate(columns, 1)]

    # -- definitions --------------------------------------------------------------------------------

    def object(self, schema, name):
        row = self.db.execute(
            "SELECT o.object_id, s.name, o.name, o.type FROM sys.objects o JOIN sys.schemas s USING (schema_id) "
            "WHERE lower(s.name) = lower(?) AND lower(o.name) = lower(?)", [schema, name]).fetchone()
        if not row:
            raise QueryError(f"Invalid object name '{schema}.{name}'.", number=208)
        return row

    def columns(self, object_id):
        """Name, type, and whether it is computed, hidden or may be NULL, of every column."""
        return [(name, parse(declared, collation), computed) for name, declared, collation, computed in
                self.db.execute("SELECT name, declared, collation_name, is_computed FROM sys.columns "
                                "WHERE object_id = ? ORDER BY column_id", [object_id])]

    def create_table(self, place, body):
        schema, name = target(place)
        self.ready()
        parts, keys, definitions = list(split(body, ",")), [], []
        object_id = self.add_object(schema, name, "U")
        for part in parts:
            key = re.match(r"(?:CONSTRAINT\s+\S+\s+)?(PRIMARY KEY|UNIQUE)\s*(?:(?:NON)?CLUSTERED\s*)?\((.*)\)\s*$",
                           part, re.I | re.S)
            if key:
                keys.append((key[1].upper(), [unquoted(re.sub(r"\s+(ASC|DESC)$", "", k.strip(), flags=re.I))
                                              for k in split(key[2], ",")]))
                continue
            if re.match(r"PERIOD\s+FOR|CHECK|CONSTRAINT", part, re.I):
                continue
            definitions.append(self.add_column(object_id, part, keys))
        unique = "".join(f", {k} ({', '.join(map(quoted, columns))})" for k, columns in keys)
        self.db.execute(f"CREATE TABLE {quoted(schema)}.{quoted(name)} ({', '.join(definitions)}{unique})")
        for number, (kind, columns) in enumerate(sorted(keys, key=lambda k: k[0] != "PRIMARY KEY"), 1):
            self.add_index(object_id, number, kind == "PRIMARY KEY", True, columns)
        if not self.open:
            self.server.release(self)

    def add_object(self, schema, name, kind):
        row = self.db.execute("SELECT schema_id FROM sys.schemas WHERE name = ?", [schema]).fetchone()
        if not row:
            raise QueryError(f'The specified schema name "{schema}" does not exist.', number=2760)
        return self.db.execute(
            "INSERT INTO sys.objects (name, schema_id, type, is_ms_shipped, modify_date) VALUES (?, ?, ?, 0, ?)",
            [name, row[0], kind, now()]).lastrowid

    def add_column(self, object_id, part, keys):
        """Enters a column in the catalogue; its definition for SQLite."""
        match = re.match(r"(\[(?:[^]]|\]\])+\]|\"(?:[^\"]|\"\")+\"|\S+)\s+(.*)", part.strip(), re.S)
        name, rest = unquoted(match[1]), match[2]
        computed = re.match(r"AS\s*\((.*)\)\s*(PERSISTED)?", rest, re.I | re.S)
        has = lambda word: re.search(rf"\b{word}\b", rest, re.I) is not None
        if computed:
            kind = Type("int")
        else:
            kind_text = re.match(r"[\w\[\]]+\s*(\([^)]*\))?", rest)[0]
            collation = re.search(r"COLLATE\s+(\w+)", rest, re.I)
            kind = parse(kind_text, collation[1] if collation else "Latin1_General_CI_AS")
        if has("PRIMARY KEY"):
            keys.append(("PRIMARY KEY", [name]))
        elif has("UNIQUE"):
            keys.append(("UNIQUE", [name]))
        nullable = not (has("NOT NULL") or has("PRIMARY KEY") or has("IDENTITY") or kind.name == "timestamp")
        number = self.db.execute("SELECT COALESCE(MAX(column_id), 0) + 1 FROM sys.columns WHERE object_id = ?",
                                 [object_id]).fetchone()[0]
        code = NAMES.index(kind.name) + 1
        always = 1 if has("ROW START") else 2 if has("ROW END") else 0
        collation = kind.collation if kind.is_text else None
        self.db.execute(
            "INSERT INTO sys.columns VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [object_id, number, name, code, code, kind.max_length, kind.precision, kind.scale, nullable,
             collation, has("IDENTITY"), bool(computed), has("SPARSE"), has("COLUMN_SET"), has("HIDDEN"),
             always, kind.shown()])
        if computed:
            self.db.execute("INSERT INTO sys.computed_columns VALUES (?, ?, ?)",
                            [object_id, number, computed[2] is not None])
            return f"{quoted(name)} AS ({read('SELECT ' + computed[1]).expressions[0].sql('sqlite')})"
        self.collation(kind.order)
        order = f' COLLATE "{kind.order}"' if kind.order else ""
        storage = "BLOB" if kind.name in ("binary", "varbinary", "image", "timestamp") else \
            "INTEGER" if kind.name in types.RANGES or kind.name == "bit" else \
            "REAL" if kind.name in ("float", "real") else "TEXT"
        given = " DEFAULT (tds_version())" if kind.name == "timestamp" else ""
        return f"{quoted(name)} {storage}{order}{given}{'' if nullable else ' NOT NULL'}"

    def add_index(self, object_id, number, primary, unique, columns):
        self.db.execute("INSERT INTO sys.indexes VALUES (?, ?, ?, ?, ?, ?, 0, 0, 0)",
                        [object_id, number, f"i{number}", 1 if number == 1 else 2, primary, unique])
        for place, column in enumerate(columns, 1):
            self.db.execute(
                "INSERT INTO sys.index_columns SELECT object_id, ?, column_id, ? FROM sys.columns "
                "WHERE object_id = ? AND name = ?", [number, place, object_id, column])

    def create_index(self, unique, place, columns):
        schema, name = target(place)
        object_id, schema, name, _ = self.object(schema, name)
        columns = [unquoted(c.strip()) for c in split(columns, ",")]
        number = 1 + self.db.execute("SELECT COALESCE(MAX(index_id), 1) FROM sys.indexes WHERE object_id = ?",
                                     [object_id]).fetchone()[0]
        self.add_index(object_id, number, False, bool(unique), columns)
        self.db.execute(f"CREATE INDEX {quoted(schema)}.{quoted(f'{name}_{number}')} ON {quoted(name)} "
                        f"({', '.join(map(quoted, columns))})")

    def create_view(self, place, body):
        schema, name = target(place)
        reader = Reader(self, {})
        sql, columns = reader.select(read(body))
        object_id = self.add_object(schema, name, "V")
        self.db.execute(f"CREATE VIEW {quoted(schema)}.{quoted(name)} AS {sql}")
        for number, (column, kind) in enumerate(columns, 1):
            kind = kind or Type("int")
            code = NAMES.index(kind.name) + 1
            self.db.execute("INSERT INTO sys.columns VALUES (?, ?, ?, ?, ?, ?, ?, ?, 1, ?, 0, 0, 0, 0, 0, 0, ?)",
                            [object_id, number, column, code, code, kind.max_length, kind.precision,
                             kind.scale, kind.collation, kind.shown()])

    def drop(self, kind, place):
        schema, name = target(place)
        object_id, schema, name, _ = self.object(schema, name)
        self.server.wait_for(self, (self.database, object_id), "X", True)
        self.ready()
        self.db.execute(f"DROP {kind} {quoted(schema)}.{quoted(name)}")
        for table in ("objects", "columns", "indexes", "index_columns", "computed_columns", "rights"):
            self.db.execute(f"DELETE FROM sys.{table} WHERE object_id = ?", [object_id])

    def alter_table(self, place, what):
        """ADD a column, or DROP COLUMN; anything else only counts as a change."""
        object_id, schema, name, _ = self.object(*target(place))
        self.server.wait_for(self, (self.database, object_id), "X", True)
        self.ready()
        added = re.match(r"ADD\s+(.*)", what, re.I | re.S)
        if added:
            definition = self.add_column(object_id, added[1], [])
            self.db.execute(f"ALTER TABLE {quoted(schema)}.{quoted(name)} ADD COLUMN {definition}")
        self.db.execute("UPDATE sys.objects SET modify_date = ? WHERE object_id = ?", [now(), object_id])

    def truncate(self, place):
        object_id, schema, name, _ = self.object(*target(place))
        self.server.wait_for(self, (self.database, object_id), "X", True)
        self.ready()
        self.db.execute(f"DELETE FROM {quoted(schema)}.{quoted(name)}")

    def create_schema(self, name):
        name = unquoted(name)
        file = self.server.databases[self.database] / f"{name}.db"
        sqlite3.connect(file).execute("PRAGMA journal_mode = WAL")
        self.db.execute("INSERT INTO sys.schemas (name) VALUES (?)", [name])
        self.attach()

    def grant(self, columns, place, more, login):
        object_id = self.object(*target(place))[0]
        for column in split(columns or more or "", ",") if columns or more else [None]:
            self.db.execute("INSERT INTO sys.rights VALUES (?, ?, ?)",
                            [unquoted(login), object_id, column and unquoted(column.strip())])

    def option(self, database, name, value):
        column = {"ALLOW_SNAPSHOT_ISOLATION": "snapshot_isolation_state",
                  "READ_COMMITTED_SNAPSHOT": "is_read_committed_snapshot_on"}[name.upper()]
        home = self.server.databases[unquoted(database)]
        file = sqlite3.connect(home / "sys.db", isolation_level=None)
        file.execute(f"UPDATE databases SET {column} = ?", [value.upper() == "ON"])
        file.close()

    def create_login(self, name, password):
        self.server.logins[unquoted(name)] = password

    def kill(self, spid):
        victim = self.server.sessions.get(int(spid))
        if victim:
            victim.killed = True
            with contextlib.suppress(OSError):
                victim.cord.shutdown(socket.SHUT_RDWR)

    def gate(self, what):
        """A place where readers stop until the test lets them go: `dbo.gate(id) = 1`."""
        gate = self.server.gates.setdefault(self.database, {"open": threading.Event(), "readers": set()})
        if what.upper() == "SHUT":
            gate["open"].clear()
        elif what.upper() == "OPEN":
            gate["open"].set()
        rows = [[len(gate["readers"])]]
        if what.upper() == "SESSIONS":
            rows = [[s.spid] for s in list(self.server.sessions.values()) if s.database == self.database]
        return QueryResult([Column("answer", types.wire(Type("int")))], rows)

    def pass_gate(self, key):
        gate = self.server.gates.get(self.database)
        if gate is not None and key is not None and key % 100 == 0 and not gate["open"].is_set():
            if "COUNT_BIG" not in self.text:
                gate["readers"].add(self.spid)
            while not gate["open"].wait(0.05) and not self.killed:
                pass
            gate["readers"].discard(self.spid)
        return 1

    def plan_fault(self, login, number, times, message):
        """`FAULT 1205 2 words`: the next two rows that `dbo.fault(id) = 1` is asked of end their statement.
        `FAULT LOGIN 40613 1 words`: the next login to this database is refused so."""
        self.server.faults[self.database, bool(login)] = [int(number), int(times), message]

    def take_version(self):
        """`TAKE VERSION`: a transaction that never ends takes the next row version of this database."""
        self.server.under_way.setdefault(self.database, VERSIONS.take())

    def active_version(self):
        # Without a transaction under way, it is the version that comes next.
        return self.server.under_way.get(self.database, VERSIONS.coming).to_bytes(8, "big")

    def meet_fault(self, key):
        planned = self.server.faults.get((self.database, False))
        if planned and planned[1] > 0 and "COUNT_BIG" not in self.text:
            planned[1] -= 1
            self.fault = QueryError(planned[2], number=planned[0])
            raise self.fault
        return 1

    def set_isolation(self, level):
        self.isolation = " ".join(level.upper().split())

    def set_lock_timeout(self, millis):
        self.lock_timeout = int(millis)


NAME = r"((?:\[(?:[^]]|\]\])+\]|\"(?:[^\"]|\"\")+\"|[^\s(.]+)(?:\.(?:\[(?:[^]]|\]\])+\]|\"(?:[^\"]|\"\")+\"|[^\s(.]+))?)"
STATEMENTS = [
    (r"SET\s+TRANSACTION\s+ISOLATION\s+LEVEL\s+(.*)", Session.set_isolation),
    (r"SET\s+LOCK_TIMEOUT\s+(-?\d+)", Session.set_lock_timeout),
    (r"SET\s|USE\s|DECLARE\s|PRINT\s", lambda session: None),
    (r"BEGIN\s+TRAN", lambda session: session.begin()),
    (r"COMMIT", lambda session: session.end("COMMIT")),
    (r"(?:IF\s+@@TRANCOUNT\s*>\s*0\s+)?ROLLBACK", lambda session: session.end("ROLLBACK")),
    (rf"CREATE\s+TABLE\s+{NAME}\s*\((.*)\)(?:\s+WITH\s*\(.*\))?\s*$", Session.create_table),
    (rf"CREATE\s+(UNIQUE\s+)?(?:NONCLUSTERED\s+)?INDEX\s+\S+\s+ON\s+{NAME}\s*\((.*)\)\s*$", Session.create_index),
    (rf"CREATE\s+VIEW\s+{NAME}\s+AS\s+(.*)", Session.create_view),
    (r"CREATE\s+DATABASE\s+(\S+)", lambda session, name: session.server.create(unquoted(name))),
    (r"DROP\s+DATABASE\s+(\S+)", lambda session, name: session.server.databases.pop(unquoted(name)) and None),
    (r"CREATE\s+SCHEMA\s+(.+)", Session.create_schema),
    (r"CREATE\s+LOGIN\s+(\S+)\s+WITH\s+PASSWORD\s*=\s*N?'(.*)'", Session.create_login),
    (r"CREATE\s+USER", lambda session: None),
    (rf"GRANT\s+SELECT\s*(?:\(([^)]*)\))?\s*ON\s+{NAME}\s*(?:\(([^)]*)\))?\s*TO\s+(.+)", Session.grant),
    (r"ALTER\s+DATABASE\s+(\S+)\s+SET\s+(\w+)\s+(ON|OFF)", Session.option),
    (rf"ALTER\s+TABLE\s+{NAME}\s+(.*)", Session.alter_table),
    (rf"TRUNCATE\s+TABLE\s+{NAME}", Session.truncate),
    (rf"DROP\s+(TABLE|VIEW)\s+{NAME}", Session.drop),
    (r"KILL\s+(\d+)", Session.kill),
    (r"GATE\s+(\w+)", Session.gate),
    (r"TAKE\s+VERSION", Session.take_version),
    (r"FAULT\s+(LOGIN\s+)?(\d+)\s+(\d+)\s+(.*)", Session.plan_fault),
]


class Reader:
    """Turns a statement into SQLite's, and says what types its columns have."""

    def __init__(self, session, parameters):
        self.session, self.tables = session, []
        self.parameters = {name.lstrip("@").upper(): value for name, value in parameters.items()}
        self.values = {name: value for name, value in self.parameters.items()}

    def select(self, tree):
        """SQL for SQLite, and name and type of each column."""
        scope = []
        if isinstance(tree, exp.SetOperation):
            left, columns = self.select(tree.this)
            right, _ = self.select(tree.expression)
            return f"{left} UNION {'' if tree.args.get('distinct') else 'ALL '}{right}", columns
        for source in [tree.args.get("from_"), *tree.args.get("joins", [])]:
            if source is not None:
                scope.append(self.source(source.this))
        columns = []
        for item in tree.expressions:
            if isinstance(item, exp.Star):
                columns += [(name, kind) for _, known in scope for name, kind in known.items()]
            else:
                columns.append((item.alias_or_name, self.kind(item, scope)))
        for inner in [s for item in tree.expressions for s in item.find_all(exp.Subquery)]:
            self.select(inner.this)
        self.permit(tree, scope)
        self.convert(tree, scope)
        return tree.sql("sqlite", unsupported_level=sqlglot.ErrorLevel.IGNORE), columns

    def change(self, tree):
        """SQL for SQLite, and the rows that it is executed with, where they are literals."""
        table = tree.find(exp.Table)
        object_id, schema, name, _ = self.session.object(table.db or "dbo", table.name)
        table.replace(exp.Table(this=exp.to_identifier(name, True), db=exp.to_identifier(schema, True)))
        self.tables.append((self.session.database, object_id))
        known = {column: kind for column, kind, computed in self.session.columns(object_id)
                 if not computed and kind.name != "timestamp"}
        scope = [(name, known)]
        if isinstance(tree, exp.Insert):
            listed = [i.name for i in tree.this.expressions] if isinstance(tree.this, exp.Schema) else list(known)
            kinds = [next(kind for c, kind in known.items() if c.lower() == i.lower()) for i in listed]
            if isinstance(tree.expression, exp.Values):
                rows = self.literals(tree.expression, kinds)
                if rows:
                    places = ", ".join("?" * len(kinds))
                    names = ", ".join(map(quoted, listed))
                    return f"INSERT INTO {quoted(schema)}.{quoted(name)} ({names}) VALUES ({places})", rows
                for row in tree.expression.expressions:
                    items = row.expressions if isinstance(row, exp.Tuple) else [row]
                    for item, kind in zip(items, kinds, strict=True):
                        item.replace(self.converted(item, kind, scope))
            else:
                inner = tree.expression
                sql, columns = self.select(inner)
                for at, kind in enumerate(kinds):
                    item = inner.expressions[at]
                    item.replace(self.stored(item.unalias().copy(), kind, columns[at][1]))
        else:
            for item in tree.expressions if isinstance(tree, exp.Update) else []:
                kind = self.kind(item.this, scope)
                item.set("expression", self.converted(item.expression, kind, scope))
            if tree.args.get("where"):
                self.convert(tree.args["where"], scope)
        return tree.sql("sqlite", unsupported_level=sqlglot.ErrorLevel.IGNORE), None

    def literals(self, values, kinds):
        """The rows of VALUES as they are stored, if they are literals and nothing else."""
        def value(item):
            if isinstance(item, exp.Null):
                return None
            if isinstance(item, exp.HexString):
                return bytes.fromhex(item.name)
            if isinstance(item, exp.Neg) and isinstance(item.this, exp.Literal):
                return "-" + item.this.name
            if isinstance(item, (exp.Literal, exp.National)):
                return item.name
            raise LookupError

        try:
            return [[types.store(value(item), kind) for item, kind in
                     zip(row.expressions if isinstance(row, exp.Tuple) else [row], kinds, strict=True)]
                    for row in values.expressions]
        except LookupError:
            return None

    def source(self, table):
        """A name and its columns, of what stands behind FROM."""
        alias = table.alias
        if isinstance(table, exp.Subquery):
            sql, columns = self.select(table.this)
            return alias, dict(columns)
        function = table.this
        if isinstance(function, exp.Anonymous):
            return self.function(table, function, alias)
        schema, name = table.db or "dbo", table.name
        if schema.lower() == "sys":
            return self.system(table, name, alias)
        object_id, schema, name, kind = self.session.object(schema, name)
        self.tables.append((self.session.database, object_id))
        known = {column: kind for column, kind, _ in self.session.columns(object_id)}
        for kind in known.values():
            self.session.collation(kind.order)
        place = exp.Table(this=exp.to_identifier(name, True), db=exp.to_identifier(schema, True))
        sample = table.args.get("sample")
        if sample:
            # Of a sample some pages are taken, of fifty rows each.
            rows = self.session.db.execute(f"SELECT count(*) FROM {quoted(schema)}.{quoted(name)}").fetchone()[0]
            step = max(1, rows // int(sample.args["size"].name))
            place = exp.Subquery(this=sqlglot.parse_one(
                f"SELECT * FROM {quoted(schema)}.{quoted(name)} WHERE (rowid / 50) % {step} = 0", read="sqlite"))
        if alias or sample:
            place.set("alias", exp.TableAlias(this=exp.to_identifier(alias or name, True)))
        table.replace(place)
        return alias or name, known

    def system(self, table, name, alias):
        login, db = self.session.login, self.session.db
        if login != "sa" and name in STATE:
            raise QueryError("VIEW DATABASE STATE permission was denied.", number=262)
        rows = None
        if name in ("dm_db_partition_stats", "partitions"):
            rows = []
            for object_id, schema, own in db.execute(
                    "SELECT o.object_id, s.name, o.name FROM sys.objects o JOIN sys.schemas s USING (schema_id) "
                    "WHERE o.type = 'U'").fetchall():
                count = db.execute(f"SELECT count(*) FROM {quoted(schema)}.{quoted(own)}").fetchone()[0]
                rows.append(f"SELECT {object_id} AS object_id, 1 AS index_id, {count} AS row_count, {count} AS rows,"
                            f" {object_id} AS partition_id, {count // 80 + 1} AS in_row_data_page_count,"
                            " 0 AS lob_used_page_count, 0 AS row_overflow_used_page_count")
        elif name == "allocation_units":
            rows = ["SELECT object_id AS container_id, 1 AS type, 9 AS used_pages FROM sys.objects"]
        elif name in ("dm_exec_requests", "dm_exec_sessions"):
            rows = [f"SELECT {s.spid} AS session_id, {s.blocker or 0} AS blocking_session_id, 1 AS is_user_process,"
                    f" {literal(s.text)} AS sql_handle" for s in list(self.session.server.sessions.values())
                    if login == "sa" or s is self.session]
        elif name == "objects" and login != "sa":
            rows = [f"SELECT * FROM sys.objects WHERE object_id IN "
                    f"(SELECT object_id FROM sys.rights WHERE login = {literal(login)})"]
        if rows is not None:
            text = " UNION ALL ".join(rows) or "SELECT 0 AS object_id WHERE 0"
            inner = exp.Subquery(this=sqlglot.parse_one(text, read="sqlite"))
            inner.set("alias", exp.TableAlias(this=exp.to_identifier(alias or name)))
            table.replace(inner)
        return alias or name, {}

    def function(self, table, function, alias):
        if function.name.lower() == "dm_exec_sql_text":
            inner = exp.Subquery(this=exp.select(exp.alias_(function.expressions[0].copy(), "text")))
        else:
            text = self.parameters[function.expressions[0].this.name.upper()]
            rows = self.session.described(text)
            self.session.db.execute(
                "CREATE TEMP TABLE IF NOT EXISTS described (column_ordinal, name, system_type_name, collation_name,"
                " error_number, error_message, user_type_name, is_hidden)")
            self.session.db.execute("DELETE FROM temp.described")
            self.session.db.executemany("INSERT INTO temp.described VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)
            inner = exp.Table(this=exp.to_identifier("described"), db=exp.to_identifier("temp"))
        inner.set("alias", exp.TableAlias(this=exp.to_identifier(alias)))
        table.replace(inner)
        return alias, {"column_ordinal": Type("int"), "error_number": Type("int")} if "d" in alias else {}

    def permit(self, tree, scope):
        """Whether the login may read what is selected."""
        login, db = self.session.login, self.session.db
        if login == "sa":
            return
        for _, object_id in self.tables:
            rights = [r[0] for r in db.execute("SELECT column_name FROM sys.rights WHERE login = ? AND object_id = ?",
                                               [login, object_id])]
            name = db.execute("SELECT name FROM sys.objects WHERE object_id = ?", [object_id]).fetchone()[0]
            if None in rights:
                continue
            if not rights:
                raise QueryError(f"The SELECT permission was denied on the object '{name}', database "
                                 f"'{self.session.database}', schema 'dbo'.", number=229)
            used = [c.name for c in tree.find_all(exp.Column)]
            used += ["*"] if any(isinstance(e, exp.Star) for e in tree.expressions) else []
            denied = [column for column in used if column not in rights]
            if denied:
                raise QueryError(f"The SELECT permission was denied on the column '{denied[0]}' of the object "
                                 f"'{name}'.", number=230)

    # -- expressions --------------------------------------------------------------------------------

    def kind(self, item, scope):
        """The type of an expression; None where only its value says."""
        item = item.unalias()
        if isinstance(item, exp.Paren):
            return self.kind(item.this, scope)
        if isinstance(item, exp.Column):
            for name, known in scope:
                if not item.table or item.table.lower() == (name or "").lower():
                    for column, kind in known.items():
                        if column.lower() == item.name.lower():
                            return kind
            return None
        if isinstance(item, exp.Cast):
            return parse(item.to.sql("tsql"))
        if isinstance(item, exp.Convert):
            return parse(item.this.sql("tsql"))
        if isinstance(item, exp.Collate):
            inner = self.kind(item.this, scope) or Type("nvarchar", length=4000)
            return Type(inner.name, inner.length, collation=item.expression.name)
        if isinstance(item, exp.Case):
            return self.kind(item.args["ifs"][0].args["true"], scope)
        if isinstance(item, exp.If):
            return self.kind(item.args["true"], scope)
        if isinstance(item, exp.Subquery):
            return Reader(self.session, self.parameters).select(item.this.copy())[1][0][1]
        if isinstance(item, (exp.Coalesce, exp.Max, exp.Min)):
            return self.kind(item.this, scope)
        if isinstance(item, exp.Count):
            return Type("bigint")
        if isinstance(item, exp.Sum):
            inner = self.kind(item.this, scope)
            if inner and inner.name == "decimal":
                return Type("decimal", precision=38, scale=inner.scale)
            return Type("bigint")
        if isinstance(item, exp.SHA2):
            return Type("varbinary", length=8000)
        if isinstance(item, (exp.Lower, exp.Upper)):
            return self.kind_before(item.this, scope)
        if isinstance(item, exp.Anonymous) and item.name.upper() == "MIN_ACTIVE_ROWVERSION":
            return Type("binary", length=8)
        if isinstance(item, exp.Literal):
            return Type("nvarchar", length=4000) if item.is_string else None
        if isinstance(item, exp.National):
            return Type("nvarchar", length=4000)
        return None

    def converted(self, value, kind, scope):
        """A value of a statement, as a column stores it."""
        holder = exp.Paren(this=value.copy())
        self.convert(holder, scope)
        source = self.kind_before(holder.this, scope)
        literal = isinstance(value, (exp.Literal, exp.National, exp.Neg))
        return self.stored(holder.this.copy(), kind, None if literal else source)

    def stored(self, value, kind, source):
        """A call that stores a value as a type."""
        source = source.shown() + f"|{source.collation or ''}" if source else ""
        # A number with a point would pass through SQLite as a double.
        negative = isinstance(value, exp.Neg)
        number = value.this if negative else value
        if isinstance(number, exp.Literal) and not number.is_string:
            value = exp.Literal.string(("-" if negative else "") + number.name)
        return exp.Anonymous(this="tds_store", expressions=[
            value, exp.Literal.string(kind.shown()), exp.Literal.string(source)])

    def convert(self, tree, scope):
        """Puts our conversions and orders in the place of T-SQL's."""
        for item in reversed(list(tree.walk(bfs=False))):
            if isinstance(item, (exp.Cast, exp.Convert)):
                styled = isinstance(item, exp.Convert)
                inner = item.expression if styled else item.this
                to = self.kind(item, scope)
                source = item.meta.get("source") or self.kind_before(inner, scope)
                call = self.stored(inner.copy(), to, source)
                if styled and item.args.get("style"):
                    call.append("expressions", item.args["style"].copy())
                call.meta["kind"] = to
                item.replace(call)
            elif isinstance(item, exp.Parameter):
                if isinstance(item.parent, exp.Parameter):
                    continue
                # Of `@@NAME` one parameter stands in another; the one that is asked for is SPID.
                own = isinstance(item.this, exp.Parameter)
                item.replace(exp.Var(this=str(self.session.spid) if own else f":{item.this.name.upper()}"))
            elif isinstance(item, exp.National):
                item.replace(exp.Literal.string(item.name))
            elif isinstance(item, exp.CurrentSchema):
                item.replace(exp.Literal.string("dbo"))
            elif isinstance(item, exp.CurrentUser):
                item.replace(exp.Literal.string(self.session.login))
            elif isinstance(item, exp.Dot) and isinstance(item.expression, exp.Anonymous):
                item.replace(item.expression.copy())
            elif isinstance(item, exp.Left):
                item.replace(exp.Anonymous(this="substr", expressions=[
                    item.this.copy(), exp.Literal.number(1), item.expression.copy()]))
            elif isinstance(item, exp.Ordered):
                item.set("nulls_first", None)
            elif isinstance(item, (exp.EQ, exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE)):
                for side in (item.this, item.expression):
                    kind = self.kind_before(side, scope)
                    if kind and kind.order and not isinstance(side, (exp.Column, exp.Literal)):
                        self.session.collation(kind.order)
                        item.set("this", exp.Collate(this=exp.Paren(this=item.this.copy()),
                                                     expression=exp.Var(this=f'"{kind.order}"')))
                        break
            elif isinstance(item, exp.Collate):
                self.session.collation(item.expression.name)
            elif isinstance(item, exp.Sum):
                kind = self.kind_before(item.this, scope)
                if kind and kind.name == "decimal":
                    item.replace(exp.Anonymous(this="tds_sum", expressions=[item.this.copy()]))
            elif isinstance(item, exp.SHA2):
                # The bytes are those of the text's own type: two a letter where any part of it is wide.
                parts = item.this.expressions if isinstance(item.this, exp.Concat) else [item.this]
                item.replace(exp.Anonymous(this="tds_sha256", expressions=[
                    item.this.copy(), exp.Literal.number(int(any(self.is_wide(p, scope) for p in parts)))]))
            elif isinstance(item, exp.Anonymous) and item.name.upper() == "DATALENGTH":
                wide = self.is_wide(item.expressions[0], scope)
                item.replace(exp.Anonymous(this="tds_bytes", expressions=[
                    item.expressions[0].copy(), exp.Literal.number(int(wide))]))

    def is_wide(self, item, scope):
        """Whether a text has two bytes a letter; literals are of one unless `N` stands before them."""
        if isinstance(item, exp.Literal):
            return False
        kind = self.kind_before(item, scope)
        return kind is not None and kind.name in ("nchar", "nvarchar", "ntext", "sysname")

    def kind_before(self, item, scope):
        """The type of an expression whose parts may have been converted already."""
        while isinstance(item, exp.Paren):
            item = item.this
        if isinstance(item, exp.Collate):
            inner = self.kind_before(item.this, scope) or Type("nvarchar", length=4000)
            return Type(inner.name, inner.length, inner.precision, inner.scale, item.expression.name.strip('"'))
        if isinstance(item, exp.Case):
            return self.kind_before(item.args["ifs"][0].args["true"], scope)
        return item.meta.get("kind") or self.kind(item, scope)


# -- functions of the server's ------------------------------------------------------------------------

def store(session, value, to, source, style=None):
    kind = None
    if source:
        declared, collation = source.split("|")
        kind = parse(declared, collation or None)
    return types.store(value, parse(to), kind, style)


def coded(text, wide):
    """The bytes of a text. Letters beyond ASCII have those of a code page, which is not known here."""
    if not wide and not text.isascii():
        raise QueryError("This peer digests no letters of a code page.", number=50000)
    return text.encode("utf-16-le" if wide else "ascii")


class Decimals:
    """The sum of decimals."""

    def __init__(self):
        self.sum = None

    def step(self, text):
        if text is not None:
            self.sum = types.CONTEXT.add(self.sum or 0, types.CONTEXT.create_decimal(text))

    def finalize(self):
        return None if self.sum is None else f"{self.sum:f}"


def code_page(session, name, what):
    return None if name is None else Type("varchar", collation=name).page


class Versions:
    """Row versions, ascending; `coming` is the next."""

    def __init__(self):
        self.coming = 2001

    def take(self):
        self.coming += 1
        return self.coming - 1


# What rows get as their `rowversion` when they are inserted.
VERSIONS = Versions()

FUNCTIONS = [
    ("tds_store", 3, store), ("tds_store", 4, store),
    ("SERVERPROPERTY", 1, lambda s, name: {"ProductVersion": "15.0.4000.0", "EngineEdition": 3}.get(name)),
    ("USER_NAME", 0, lambda s: "dbo" if s.login == "sa" else s.login),
    ("SUSER_SNAME", 0, lambda s: s.login), ("SCHEMA_NAME", 0, lambda s: "dbo"),
    ("DB_ID", 0, lambda s: 1), ("DB_NAME", 0, lambda s: s.database),
    ("COLLATIONPROPERTY", 2, code_page),
    ("SQL_VARIANT_PROPERTY", 2, lambda s, value, what: value and parse(value.split(types.SEPARATOR)[0]).name),
    ("DATABASEPROPERTYEX", 2, lambda s, name, what: {
        # A listener sends who only reads to a replica, and so to one that is read-only.
        "Updateability": "READ_ONLY" if s.only_reads else "READ_WRITE"}.get(what)),
    ("HAS_PERMS_BY_NAME", 3, lambda s, *what: int(s.login == "sa")),
    ("SYSUTCDATETIME", 0, lambda s: now()), ("GETDATE", 0, lambda s: now()),
    ("MIN_ACTIVE_ROWVERSION", 0, lambda s: s.active_version()),
    # Of the tests alone: values out of a number.
    ("DATEFROM", 1, lambda s, n: f"{1990 + n // 336:04}-{n // 28 % 12 + 1:02}-{n % 28 + 1:02} 01:02:03.4500007"),
    ("CLOCK", 1, lambda s, n: f"{n // 360:02}:{n // 6 % 60:02}:{n % 6 * 10:02}.{n:07}"),
    ("ZONED", 1, lambda s, n: f"2024-{n // 336 + 1:02}-{n // 28 % 12 + 1:02} {n % 24:02}:30:00.{n:03} "
     f"{'+-'[n % 2]}{n % 14:02}:{n % 2 * 30:02}"),
    ("WORD", 1, lambda s, n: "äAzÖ"[n % 4] + str(n)),
    ("MAKEGUID", 1, lambda s, n: str(uuid.uuid5(uuid.NAMESPACE_OID, str(n)))),
    ("gate", 1, lambda s, key: s.pass_gate(key)),
    ("fault", 1, lambda s, key: s.meet_fault(key)),
    ("CONCAT", -1, lambda s, *parts: "".join("" if part is None else str(part) for part in parts)),
    ("tds_version", 0, lambda s: VERSIONS.take().to_bytes(8, "big")),
    ("tds_sha256", 2, lambda s, text, wide: hashlib.sha256(coded(text, wide)).digest()),
    ("tds_bytes", 2, lambda s, value, wide: len(value if isinstance(value, bytes) else coded(str(value), wide))),
    ("NCHAR", 1, lambda s, code: types.half(code)),
]


def now():
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime()) + f".{time.time_ns() // 100 % 10**7:07}"


def literal(text):
    return "'" + text.replace("'", "''") + "'"


def quoted(name):
    return '"' + name.replace('"', '""') + '"'


def unquoted(name):
    name = name.strip()
    if name.startswith("["):
        return name[1:-1].replace("]]", "]")
    return name[1:-1].replace('""', '"') if name.startswith('"') else name


def target(place):
    parts = re.findall(r"\[(?:[^]]|\]\])+\]|\"(?:[^\"]|\"\")+\"|[^.]+", place)
    return ("dbo", unquoted(parts[0])) if len(parts) == 1 else (unquoted(parts[0]), unquoted(parts[1]))


TOKENS = re.compile(r"'(?:[^']|'')*'|\[(?:[^]]|\]\])*\]|\"(?:[^\"]|\"\")*\"|--[^\n]*|/\*.*?\*/|[(),;]|[^'\[\"(),;/-]+|.",
                    re.S)


def split(text, at=";"):
    """The parts of a text between separators outside quotes and parentheses."""
    depth, part = 0, ""
    for token in TOKENS.findall(text):
        depth += {"(": 1, ")": -1}.get(token, 0)
        if token == at and depth == 0:
            if part.strip():
                yield part.strip()
            part = ""
        else:
            part += token
    if part.strip():
        yield part.strip()


def read(text):
    try:
        trees = sqlglot.parse(text, read="tsql")
    except sqlglot.errors.SqlglotError as error:
        words = re.sub(r"\x1b\[\d*m", "", str(error)).split("\n")[0]
        raise QueryError(f"Incorrect syntax: {words}", number=102) from None
    return trees[0] if trees else None


def translated(error):
    """What SQLite says, as SQL Server would."""
    text = str(error)
    if "no such column" in text:
        return QueryError(f"Invalid column name '{text.split(': ')[-1]}'.", number=207)
    if "no such table" in text:
        return QueryError(f"Invalid object name '{text.split(': ')[-1]}'.", number=208)
    if "UNIQUE" in text or "NOT NULL" in text:
        return QueryError(text, number=2627)
    return QueryError(f"SQLite: {text}", number=50000)


# -- connections --------------------------------------------------------------------------------------

OPENING = threading.local()


# What begins a handshake of TLS; a packet of TDS begins otherwise.
HANDSHAKE = b"\x16"
# Of LOGIN7: the client only reads.
READ_ONLY_INTENT = 0x20


class Handler(server._Handler):
    def setup(self):
        # As the server does it: on one port both what begins in the clear and what is encrypted from its
        # first byte on (TDS 8.0).
        if self.request.recv(1, socket.MSG_PEEK) == HANDSHAKE:
            self.request = self.server.secure.wrap_socket(self.request, server_side=True)
        OPENING.socket, OPENING.server = self.request, self.server
        super().setup()


class Plain:
    """A tunnel that hides nothing, for clients that do not encrypt."""

    unwrap = wrap = staticmethod(lambda raw: raw)


class Peer(connection.Connection):
    def __init__(self, certificate, **options):
        super().__init__(certificate, **options)
        self.cord, self.listener = OPENING.socket, OPENING.server

    def _step_prelogin(self, responses):
        message = reassemble(self._buffer)
        if message is None:
            return False
        asked = connection.Prelogin.parse(message.payload)
        strict = isinstance(self.cord, ssl.SSLSocket)
        if not strict and asked.encryption is not Encryption.NOT_SUPPORTED:
            return super()._step_prelogin(responses)
        del self._buffer[:message.consumed]
        answer = server_response(version=self._version, encryption=Encryption.NOT_SUPPORTED, asked=asked)
        responses.append(build_packet(PacketType.TABULAR_RESULT, answer.build()))
        self._tunnel, self._state = Plain(), connection.ConnectionState.EXPECT_LOGIN
        return True

    def _finish_login(self, responses):
        if self.listener.sends_to:
            name = "localhost".encode("utf-16-le")
            route = struct.pack("<BHH", 0, self.listener.sends_to, len(name) // 2) + name
            body = b"\x14" + struct.pack("<H", len(route)) + route + b"\0\0"
            answer = login_response(version=(15, 0, 4000), server_name="gateway", tds_version=self._tds_version)
            at = answer.rindex(b"\xFD")
            self._send(responses, answer[:at] + b"\xE3" + struct.pack("<H", len(body)) + body
                       + done(tds_version=self._tds_version))
            return
        home, database = self._logins, self._login.database or "master"
        if database not in home.databases:
            self._send(responses, error_response(
                4060, f'Cannot open database "{database}" requested by the login. The login failed.',
                severity=11, tds_version=self._tds_version))
            self._state = connection.ConnectionState.FAILED
            return
        planned = home.faults.get((database, True))
        if planned and planned[1] > 0:
            planned[1] -= 1
            self._send(responses, error_response(planned[0], planned[2], severity=20, tds_version=self._tds_version))
            self._state = connection.ConnectionState.FAILED
            return
        super()._finish_login(responses)
        session = Session(home, self._spid, self._login.user_name, database, self.cord, self)
        session.only_reads = bool(self._login.type_flags & READ_ONLY_INTENT)
        self._session["peer"] = session

    def pour(self, payload):
        """Sends as many whole packets as there are; what is left."""
        size = DEFAULT_PACKET_SIZE - 8
        whole = len(payload) // size * size
        packets = [build_packet(PacketType.TABULAR_RESULT, payload[at:at + size], status=PacketStatus.NORMAL,
                                spid=self._spid) for at in range(0, whole, size)]
        raw = b"".join(packets)
        self.cord.sendall(self._tunnel.wrap(raw) if self._session_encrypted else raw)
        return payload[whole:]


def answer(query):
    session = query.session["peer"]
    if query.procedure:
        raise QueryError(f"Could not find stored procedure '{query.procedure}'.", number=2812)
    return session.answer(query)


def main():
    port, redirecting, home, certificate, key, password = sys.argv[1:]
    server.Connection = Peer
    sqlite3.enable_callback_tracebacks(True)
    pair = Certificate(Path(certificate).read_bytes(), Path(key).read_bytes())
    state = Server(home, password)
    secure = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    secure.load_cert_chain(certificate, key)
    secure.set_alpn_protocols(["tds/8.0"])
    # Who shows a certificate shows one of the tests' own authority.
    secure.verify_mode = ssl.CERT_OPTIONAL
    secure.load_verify_locations(Path(certificate).with_name("ca.crt"))
    listeners = []
    for number, sends_to in ((port, None), (redirecting, int(port))):
        listener = server.BridgeServer("127.0.0.1", int(number), pair, answer, logins=state)
        listener.RequestHandlerClass, listener.sends_to, listener.request_queue_size = Handler, sends_to, 128
        listener.secure = secure
        listeners.append(listener)
    threading.Thread(target=listeners[1].serve_forever, daemon=True).start()
    listeners[0].serve_forever()


if __name__ == "__main__":
    main()
