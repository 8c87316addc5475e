//! Every type of SQL Server's, with values at its edges.

/// A column's definition, how the clients are to be sent its values, and values.
pub(super) struct Case {
    pub(super) definition: &'static str,
    /// `c` is the column.
    pub(super) sent: &'static str,
    pub(super) values: &'static [&'static str],
}

const fn case(
    definition: &'static str,
    sent: &'static str,
    values: &'static [&'static str],
) -> Case {
    Case {
        definition,
        sent,
        values,
    }
}

/// Every type, with the edges of its values.
pub(super) const CASES: &[Case] = &[
    case("bit", "c", &["0", "1"]),
    case("tinyint", "c", &["0", "255"]),
    case("smallint", "c", &["-32768", "32767"]),
    case("int", "c", &["-2147483648", "2147483647"]),
    case(
        "bigint",
        "c",
        &[
            "-9223372036854775808",
            "9223372036854775807",
            "9007199254740993",
        ],
    ),
    case("decimal(5,0)", "c", &["99999", "-99999", "0"]),
    case("decimal(18,4)", "c", &["-12.3456", "99999999999999.9999"]),
    case(
        "decimal(38,10)",
        "c",
        &["-9999999999999999999999999999.9999999999", "0.0000000001"],
    ),
    case(
        "numeric(38,38)",
        "c",
        &[
            "-0.99999999999999999999999999999999999999",
            "0.00000000000000000000000000000000000001",
        ],
    ),
    case(
        "money",
        "c",
        &[
            "922337203685477.5807",
            "-922337203685477.5808",
            "0.0001",
            "-0.0001",
        ],
    ),
    case("smallmoney", "c", &["214748.3647", "-214748.3648"]),
    case(
        "float",
        "c",
        &[
            "0",
            "0.1",
            "-1.7976931348623157e308",
            "5e-324",
            "123456789.123",
        ],
    ),
    case("real", "c", &["3.4028235e38", "-1.1754944e-38", "0.1"]),
    case(
        "date",
        "c",
        &["'0001-01-01'", "'9999-12-31'", "'2024-02-29'"],
    ),
    case("time(0)", "c", &["'00:00:00'", "'23:59:59'"]),
    case("time(6)", "c", &["'23:59:59.999999'", "'00:00:00.000001'"]),
    case("time(7)", "c", &["'12:34:56.5'", "'00:00:00'"]),
    case(
        "smalldatetime",
        "c",
        &["'1900-01-01 00:00:00'", "'2079-06-06 23:59:00'"],
    ),
    case(
        "datetime",
        "c",
        &[
            "'1753-01-01 00:00:00.003'",
            "'9999-12-31 23:59:59.997'",
            "'2024-06-01 12:00:00.007'",
        ],
    ),
    case(
        "datetime2(0)",
        "c",
        &["'0001-01-01 00:00:00'", "'9999-12-31 23:59:59'"],
    ),
    case(
        "datetime2(6)",
        "c",
        &[
            "'0001-01-01 00:00:00.000001'",
            "'9999-12-31 23:59:59.999999'",
            "'1969-12-31 23:59:59.5'",
        ],
    ),
    case(
        "datetimeoffset(3)",
        "c",
        &[
            "'2024-01-01 00:30:00.123 +14:00'",
            "'0001-01-02 00:00:00 -14:00'",
        ],
    ),
    case("char(5)", "c", &["'ab'", "''", "N'é'"]),
    case("varchar(50)", "c", &["''", "'it''s \"x\"'", "N'Grüße €'"]),
    case(
        "varchar(50) COLLATE Latin1_General_100_CI_AS_SC_UTF8",
        "CAST(c AS nvarchar(50))",
        &["N'日本🦀'", "N'é'"],
    ),
    case(
        "varchar(50) COLLATE Cyrillic_General_CI_AS",
        "CAST(c AS nvarchar(50))",
        &["N'Привет'", "'?'"],
    ),
    case(
        "varchar(max) COLLATE Japanese_CI_AS",
        "CAST(c AS nvarchar(max))",
        &["N'日本'", "''"],
    ),
    case("nchar(5)", "c", &["N'日本'", "N''"]),
    case("nvarchar(50)", "c", &["N'日本🦀'", "N' tail  '", "N''"]),
    case("nvarchar(max)", "c", &["N''", "N'long 🦀'"]),
    case("varchar(max)", "c", &["'x'", "''"]),
    case("text", "CAST(c AS nvarchar(max))", &["'old'", "''"]),
    case("ntext", "CAST(c AS nvarchar(max))", &["N'ä🦀'", "N''"]),
    case(
        "xml",
        "CAST(c AS nvarchar(max))",
        &["N'<a>ü</a>'", "N'<b/>'"],
    ),
    case("binary(4)", "c", &["0x00FF", "0x41424344"]),
    case(
        "varbinary(300)",
        "c",
        &["CAST(N'' AS varbinary(1))", "0x00FF80"],
    ),
    case(
        "varbinary(max)",
        "c",
        &["0x00FE", "CAST(N'' AS varbinary(1))"],
    ),
    case("image", "CAST(c AS varbinary(max))", &["0x00FE", "0x01"]),
    case(
        "uniqueidentifier",
        "c",
        &[
            "'6F9619FF-8B86-D011-B42D-00C04FC964FF'",
            "'00000000-0000-0000-0000-000000000001'",
        ],
    ),
    case(
        "hierarchyid",
        "CONVERT(nvarchar(max), c)",
        &["'/1/2/'", "'/'"],
    ),
    case(
        "geometry",
        "CONVERT(nvarchar(max), c)",
        &["'POINT (1 2.5)'"],
    ),
];
