"""SQL Server's types as the TDS peer has them: how values are stored in SQLite, converted, ordered, and
sent.

Numbers, and text, are stored as themselves; decimals, dates and times as text of fixed width; UUIDs as
text in capitals; a datetimeoffset as its instant and its offset. SQLite orders them by collations that are
defined here. A `sql_variant` is its value's type, a separator, and the value as text.
"""

import datetime as dt
import decimal
import re
import struct
import uuid
from dataclasses import dataclass

from pysqlbridge.tds.result import (
    Bit, ColumnType, DateTime, DEFAULT_COLLATION, Float, Integer, NVarChar, QueryError, UniqueIdentifier,
    VarBinary,
)

# A context is a thread's own.
CONTEXT = decimal.Context(prec=80)
# Half of a pair of UTF-16, which no text of SQLite's can hold, is kept as this and a private character.
HALF = "\U0010ffff"
SEPARATOR = "\x1f"
PAGES = {"Cyrillic": 1251, "Japanese": 932, "Greek": 1253}


@dataclass(frozen=True)
class Type:
    """A type as it was declared. `length` is in characters or bytes, -1 for `max`."""

    name: str
    length: int = 0
    precision: int = 0
    scale: int = 0
    collation: str | None = None

    @property
    def is_text(self):
        return self.name in ("char", "varchar", "nchar", "nvarchar", "text", "ntext", "sysname")

    @property
    def page(self):
        if not self.collation:
            return 1252
        if self.collation.endswith("UTF8"):
            return 65001
        return PAGES.get(self.collation.split("_")[0], 1252)

    @property
    def max_length(self):
        """As `sys.columns` has it, in bytes."""
        wide = 2 if self.name in ("nchar", "nvarchar") else 1
        fixed = {"tinyint": 1, "bit": 1, "smallint": 2, "int": 4, "bigint": 8, "real": 4, "float": 8,
                 "money": 8, "smallmoney": 4, "uniqueidentifier": 16, "date": 3, "datetime": 8,
                 "smalldatetime": 4, "timestamp": 8, "text": 16, "ntext": 16, "image": 16, "xml": -1,
                 "sql_variant": 8016, "hierarchyid": 892, "geometry": -1, "geography": -1, "sysname": 256}
        return fixed.get(self.name, -1 if self.length < 0 else self.length * wide)

    @property
    def order(self):
        """The collation of SQLite's that orders stored values."""
        if self.is_text:
            return self.collation or "Latin1_General_CI_AS"
        kinds = {"decimal": "DECIMALS", "money": "DECIMALS", "smallmoney": "DECIMALS",
                 "uniqueidentifier": "GUIDS", "datetimeoffset": "INSTANTS"}
        return kinds.get(self.name)

    def shown(self):
        if self.name == "decimal":
            return f"decimal({self.precision},{self.scale})"
        if self.name in ("time", "datetime2", "datetimeoffset"):
            return f"{self.name}({self.scale})"
        if self.name in ("char", "varchar", "nchar", "nvarchar", "binary", "varbinary"):
            return f"{self.name}({'max' if self.length < 0 else self.length})"
        return self.name


def parse(text, collation=None):
    """A type from its name, such as `decimal(10, 2)`."""
    match = re.fullmatch(r"\s*\[?(\w+)\]?\s*(?:\(([^)]*)\))?\s*", text)
    if not match:
        raise QueryError(f"Incorrect syntax near '{text}'.", number=102)
    name = match[1].lower()
    name = {"integer": "int", "numeric": "decimal", "dec": "decimal", "rowversion": "timestamp",
            "double": "float", "boolean": "bit", "uuid": "uniqueidentifier"}.get(name, name)
    arguments = [part.strip().lower() for part in (match[2] or "").split(",") if part.strip()]
    number = lambda at, default: int(arguments[at]) if len(arguments) > at else default
    if name == "decimal":
        return Type(name, precision=number(0, 18), scale=number(1, 0))
    if name in ("time", "datetime2", "datetimeoffset"):
        return Type(name, scale=number(0, 7))
    if name == "float":
        return Type("real" if number(0, 53) <= 24 else "float", precision=53)
    if name == "real":
        return Type(name, precision=24)
    if name in ("char", "varchar", "nchar", "nvarchar", "binary", "varbinary"):
        length = -1 if arguments[:1] == ["max"] else number(0, 1)
        return Type(name, length=length, collation=collation if "char" in name else None)
    if name in ("text", "ntext", "sysname"):
        return Type(name, length=128 if name == "sysname" else -1, collation=collation)
    known = ("bit tinyint smallint int bigint money smallmoney date datetime smalldatetime timestamp "
             "image uniqueidentifier xml sql_variant hierarchyid geometry geography").split()
    if name not in known:
        raise QueryError(f"Cannot find data type {name}.", number=2715)
    return Type(name)


def fails(value, to):
    return QueryError(f"Conversion failed when converting '{value}' to data type {to.name}.", number=245)


# -- values into the form that they are stored in ---------------------------------------------------

RANGES = {"tinyint": (0, 255), "smallint": (-2**15, 2**15 - 1), "int": (-2**31, 2**31 - 1),
          "bigint": (-2**63, 2**63 - 1)}


def store(value, to, source=None, style=None):
    """A value of the type `source`, or a literal where that is None, as the type `to` stores it."""
    if value is None:
        return None
    if source is not None and source.name == "sql_variant" and to.name != "sql_variant":
        kind, value = value.split(SEPARATOR, 1)
        source = parse(kind)
        value = bytes.fromhex(value[2:]) if "binary" in kind else store(value, source)
    kind = to.name
    if kind in RANGES:
        if isinstance(value, bytes):
            # The last bytes, with zeros before them where there are too few.
            size = {"tinyint": 1, "smallint": 2, "int": 4, "bigint": 8}[kind]
            return int.from_bytes(value[-size:].rjust(size, b"\0"), "big", signed=size > 1)
        number = int(CONTEXT.create_decimal(str(value)).to_integral_value(decimal.ROUND_DOWN))
        low, high = RANGES[kind]
        if not low <= number <= high:
            raise QueryError(f"Arithmetic overflow error converting expression to data type {kind}.",
                             number=8115)
        return number
    if kind == "bit":
        return int(str(value).lower() not in ("0", "false"))
    if kind in ("float", "real"):
        number = float(value)
        return struct.unpack("<f", struct.pack("<f", number))[0] if kind == "real" else number
    if kind in ("decimal", "money", "smallmoney"):
        scale = 4 if kind != "decimal" else to.scale
        number = CONTEXT.create_decimal(str(value).replace("$", ""))
        number = number.quantize(decimal.Decimal(1).scaleb(-scale), decimal.ROUND_HALF_UP, CONTEXT)
        digits = {"money": 19, "smallmoney": 10}.get(kind, to.precision)
        if len(number.as_tuple().digits) > max(digits, scale):
            raise QueryError("Arithmetic overflow error converting numeric to data type numeric.",
                             number=8115)
        return f"{number:f}"
    if kind == "uniqueidentifier":
        raw = uuid.UUID(bytes_le=value) if isinstance(value, bytes) else uuid.UUID(str(value))
        return str(raw).upper()
    if kind in ("date", "time", "datetime", "smalldatetime", "datetime2", "datetimeoffset"):
        return moment(value, to, source)
    if kind in ("binary", "varbinary", "image", "timestamp"):
        raw = to_bytes(value, source, style)
        if kind == "binary":
            raw = raw[:to.length].ljust(to.length, b"\0")
        return raw[:to.length] if kind == "varbinary" and to.length >= 0 else raw
    if kind == "sql_variant":
        source = source or guess(value)
        # Every digit is kept.
        styles = {"float": 3, "real": 3, "money": 2, "smallmoney": 2, "binary": 1, "varbinary": 1}
        return source.shown() + SEPARATOR + to_text(value, source, styles.get(source.name))
    text = to_text(value, source, style)
    if to.is_text and to.length >= 0:
        if kind in ("char", "nchar"):
            text = text.ljust(to.length)
        text = text[:to.length]
    return text


def guess(value):
    """The type of a literal."""
    if isinstance(value, bool) or isinstance(value, int):
        return Type("int" if -2**31 <= value < 2**31 else "bigint")
    if isinstance(value, float):
        return Type("float")
    if isinstance(value, bytes):
        return Type("varbinary", length=8000)
    return Type("nvarchar", length=4000)


def to_bytes(value, source, style):
    if isinstance(value, bytes):
        return value
    if style == 1:
        return bytes.fromhex(value[2:])
    if isinstance(value, int):
        return value.to_bytes(4, "big", signed=True)
    if source is not None and source.name in ("char", "varchar", "text"):
        if source.page == 1252:
            return b"".join(latin(char) for char in value)
        return value.encode({65001: "utf-8"}.get(source.page, f"cp{source.page}"), "replace")
    return utf16(value)


def latin(char):
    """A byte of Windows-1252; those without a meaning stand for themselves."""
    try:
        return char.encode("cp1252")
    except UnicodeEncodeError:
        return bytes([ord(char)]) if ord(char) < 256 else b"?"


def half(unit):
    """Half of a pair as it is kept; any other unit is a character."""
    return HALF + chr(unit + 0x800) if 0xD800 <= unit < 0xE000 else chr(unit)


def utf16(text):
    first, *parts = text.split(HALF)
    raw = first.encode("utf-16-le")
    for part in parts:
        raw += struct.pack("<H", ord(part[0]) - 0x800) + part[1:].encode("utf-16-le")
    return raw


def from_units(raw):
    """Text out of UTF-16, halves of pairs kept."""
    return "".join(half(ord(c)) if ord(c) < 0x10000 else c for c in raw.decode("utf-16-le", "surrogatepass"))


STAMP = re.compile(r"(\d{1,4})-(\d\d)-(\d\d)(?:[T ](.*))?")
CLOCK = re.compile(r"(\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?\s*(Z|[+-]\d\d:\d\d)?")


def moment(value, to, source):
    """A date, a time, or both, with seven digits of a second, as `to` rounds them."""
    text, offset = str(value), 0
    if source is not None and source.name == "datetimeoffset":
        instant, sign = text.split("|")
        offset = minutes(sign)
        text = str(shifted(instant, offset))
    day, clock = dt.date(1900, 1, 1), text
    stamp = STAMP.fullmatch(text.strip())
    if stamp:
        day, clock = dt.date(int(stamp[1]), int(stamp[2]), int(stamp[3])), stamp[4] or "00:00"
    parts = CLOCK.fullmatch(clock.strip())
    if not parts:
        raise fails(value, to)
    if parts[5] and parts[5] != "Z":
        offset = minutes(parts[5])
    ticks = ((int(parts[1]) * 60 + int(parts[2])) * 60 + int(parts[3] or 0)) * 10**7
    ticks += int((parts[4] or "0").ljust(7, "0")[:7])
    if to.name == "date":
        return day.isoformat()
    if to.name == "datetime":
        thirds = (ticks * 300 * 2 + 10**7) // (2 * 10**7)
        ticks = (thirds * 20 + 3) // 6 * 10**4
    elif to.name == "smalldatetime":
        ticks = (ticks + 30 * 10**7) // (60 * 10**7) * 60 * 10**7
    else:
        step = 10 ** (7 - to.scale)
        ticks = (ticks + step // 2) // step * step
    if to.name == "time":
        return clock_text(ticks % (864 * 10**9))
    days, ticks = divmod(ticks, 864 * 10**9)
    local = f"{day + dt.timedelta(days=days)} {clock_text(ticks)}"
    if to.name != "datetimeoffset":
        return local
    sign = "-" if offset < 0 else "+"
    return f"{shifted(local, -offset)}|{sign}{abs(offset) // 60:02}:{abs(offset) % 60:02}"


def clock_text(ticks):
    seconds = ticks // 10**7
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.{ticks % 10**7:07}"


def minutes(text):
    value = int(text[1:3]) * 60 + int(text[4:6])
    return -value if text[0] == "-" else value


def shifted(text, by):
    """A stored date and time, some minutes later."""
    head, fraction = text.split(".")
    return f"{dt.datetime.fromisoformat(head) + dt.timedelta(minutes=by)}.{fraction}"


def digits(text, scale):
    """A stored time with so many digits of a second."""
    head, fraction = text.split(".")
    return f"{head}.{fraction[:scale]}" if scale else head


def to_text(value, source, style):
    """A stored value as the server converts it to text."""
    kind = source.name if source is not None else None
    if isinstance(value, bytes):
        if kind in ("binary", "varbinary", "image", "timestamp") and style in (1, 2):
            return ("0x" if style == 1 else "") + value.hex().upper()
        if kind == "nvarchar" or kind is None or kind in ("binary", "varbinary"):
            return from_units(value)
        return value.decode("cp1252")
    if kind in ("float", "real"):
        return repr(value) if style == 3 else f"{value:g}"
    if kind in ("money", "smallmoney"):
        return value if style == 2 else f"{CONTEXT.create_decimal(value):.2f}"
    if kind in ("datetime", "smalldatetime", "datetime2"):
        shown = {"datetime": 3, "smalldatetime": 0}.get(kind, source.scale)
        return digits(value, shown).replace(" ", "T" if style == 126 else " ")
    if kind == "datetimeoffset":
        instant, offset = value.split("|")
        local = digits(shifted(instant, minutes(offset)), source.scale)
        return local.replace(" ", "T") + offset if style == 126 else f"{local} {offset}"
    if kind == "time":
        return digits(value, source.scale)
    return str(value)


# -- orders -----------------------------------------------------------------------------------------

def compare(one, other):
    return (one > other) - (one < other)


def decimals(one, other):
    return compare(CONTEXT.create_decimal(one), CONTEXT.create_decimal(other))


def guids(one, other):
    """The last six bytes come first, then pairs from the back to the front."""
    key = lambda text: (lambda raw: (raw[10:], raw[8:10], raw[6:8], raw[4:6], raw[:4]))(
        uuid.UUID(text).bytes_le)
    return compare(key(one), key(other))


def instants(one, other):
    return compare(one.split("|")[0], other.split("|")[0])


def words(name):
    """A text collation: by code units, or by folded letters; blanks at the end do not count."""
    if "_BIN" in name:
        key = lambda text: text.rstrip(" ").encode("utf-16-be", "surrogatepass")
    elif "_CS_" in name:
        key = lambda text: (text.rstrip(" ").casefold(), text.rstrip(" ").swapcase())
    else:
        key = lambda text: text.rstrip(" ").casefold()
    return lambda one, other: compare(key(one), key(other))


ORDERS = {"DECIMALS": decimals, "GUIDS": guids, "INSTANTS": instants}


# -- the wire ---------------------------------------------------------------------------------------

def days(text):
    return (dt.date.fromisoformat(text[:10]) - dt.date(1, 1, 1)).days


def ticks(text, scale):
    hours, rest = text[-16:].split(":", 1)
    minute, seconds = rest.split(":")
    whole = ((int(hours) * 60 + int(minute)) * 60) * 10**7 + int(seconds.replace(".", ""))
    width = 3 if scale < 3 else 4 if scale < 5 else 5
    return (whole // 10 ** (7 - scale)).to_bytes(width, "little")


class Wire(ColumnType):
    """A type that pysqlbridge does not have, by how it declares itself and how it is sent."""

    def __init__(self, info, send, null=b"\0"):
        self.info, self.send, self.null = info, send, null

    def type_info(self):
        return self.info

    def encode(self, value):
        return self.null if value is None else self.send(value)


def sized(raw):
    return bytes([len(raw)]) + raw


def short(raw):
    return struct.pack("<H", len(raw)) + raw


def chunked(raw):
    end = struct.pack("<I", 0)
    return struct.pack("<Q", len(raw)) + (struct.pack("<I", len(raw)) + raw if raw else b"") + end


def long_value(raw):
    """text, ntext and image: a pointer and a stamp, then the value."""
    return bytes([16]) + bytes(24) + struct.pack("<I", len(raw)) + raw


def wire(kind):
    """How values of a type are sent."""
    name, scale = kind.name, kind.scale
    if name in RANGES:
        return Integer({"tinyint": 1, "smallint": 2, "int": 4, "bigint": 8}[name])
    if name == "bit":
        return Bit()
    if name in ("float", "real"):
        return Float(8 if name == "float" else 4)
    if name == "decimal":
        width = 5 if kind.precision < 10 else 9 if kind.precision < 20 else 13 if kind.precision < 29 else 17

        def number(text):
            value = int(CONTEXT.create_decimal(text).scaleb(scale, CONTEXT))
            return sized(bytes([value >= 0]) + abs(value).to_bytes(width - 1, "little"))
        return Wire(bytes([0x6C, width, kind.precision, scale]), number)
    if name in ("money", "smallmoney"):
        def money(text):
            value = int(CONTEXT.create_decimal(text).scaleb(4, CONTEXT))
            wide = struct.pack("<iI", value >> 32, value & 0xFFFFFFFF)
            return sized(wide if name == "money" else struct.pack("<i", value))
        return Wire(bytes([0x6E, 8 if name == "money" else 4]), money)
    if name == "date":
        return Wire(bytes([0x28]), lambda text: sized(days(text).to_bytes(3, "little")))
    if name == "time":
        return Wire(bytes([0x29, scale]), lambda text: sized(ticks(text, scale)))
    if name == "datetime2":
        return Wire(bytes([0x2A, scale]),
                    lambda text: sized(ticks(text, scale) + days(text).to_bytes(3, "little")))
    if name == "datetimeoffset":
        def instant(stored):
            text, offset = stored.split("|")
            return sized(ticks(text, scale) + days(text).to_bytes(3, "little")
                         + struct.pack("<h", minutes(offset)))
        return Wire(bytes([0x2B, scale]), instant)
    if name in ("datetime", "smalldatetime"):
        def old(text):
            day = (dt.date.fromisoformat(text[:10]) - dt.date(1900, 1, 1)).days
            whole = int.from_bytes(ticks(text, 7), "little")
            if name == "smalldatetime":
                return sized(struct.pack("<HH", day, whole // (60 * 10**7)))
            return sized(struct.pack("<iI", day, (whole * 300 * 2 + 10**7) // (2 * 10**7)))
        return Wire(bytes([0x6F, 8 if name == "datetime" else 4]), old)
    if name == "uniqueidentifier":
        return UniqueIdentifier()
    if name in ("char", "varchar"):
        send = lambda text: to_bytes(text, kind, None)
        if kind.length < 0:
            return Wire(b"\xA7\xFF\xFF" + DEFAULT_COLLATION, lambda text: chunked(send(text)), b"\xff" * 8)
        return Wire(b"\xA7" + struct.pack("<H", kind.length) + DEFAULT_COLLATION,
                    lambda text: short(send(text)), b"\xff\xff")
    if name in ("nchar", "nvarchar", "sysname"):
        if kind.length < 0:
            return Wire(b"\xE7\xFF\xFF" + DEFAULT_COLLATION, lambda text: chunked(utf16(text)), b"\xff" * 8)
        return Wire(b"\xE7" + struct.pack("<H", 2 * kind.length) + DEFAULT_COLLATION,
                    lambda text: short(utf16(text)), b"\xff\xff")
    if name in ("binary", "varbinary", "timestamp"):
        if name == "varbinary" and kind.length < 0:
            return Wire(b"\xA5\xFF\xFF", chunked, b"\xff" * 8)
        return VarBinary(8 if name == "timestamp" else kind.length)
    if name in ("text", "ntext", "image"):
        code = {"text": 0x23, "ntext": 0x63, "image": 0x22}[name]
        collation = b"" if name == "image" else DEFAULT_COLLATION
        table = b"\x01" + struct.pack("<H", 1) + "t".encode("utf-16-le")
        send = {"text": lambda text: to_bytes(text, kind, None), "ntext": utf16}.get(name, bytes)
        return Wire(bytes([code]) + struct.pack("<I", 2**31 - 1) + collation + table,
                    lambda value: long_value(send(value)))
    if name == "xml":
        return Wire(bytes([0xF1, 0]), lambda text: chunked(utf16(text)), b"\xff" * 8)
    return NVarChar(4000)
