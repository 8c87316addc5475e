//! What is read: the server, the relation, its columns and its keys.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::field::FieldType;

/// The database family a source belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SourceKind {
    /// PostgreSQL 13 or later.
    PostgreSql,
    /// A SQLite 3 database file.
    Sqlite,
    /// MySQL 5.6 or later, or MariaDB.
    Mysql,
    /// SQL Server 2016 or later, or Azure SQL.
    SqlServer,
}

impl SourceKind {
    /// The name used in URLs, in `--source-type` and in stored records.
    pub fn name(self) -> &'static str {
        match self {
            Self::PostgreSql => "postgresql",
            Self::Sqlite => "sqlite",
            Self::Mysql => "mysql",
            Self::SqlServer => "sqlserver",
        }
    }

    /// Sessions of a run beside its workers': on a server, the one that counts (and, with PostgreSQL,
    /// holds the snapshot) and the monitor that sees who waits for us; on a file, the catalogue's
    /// connection and the count's. (Two more are there while the readers of a file in WAL mode start,
    /// and while those of SQL Server begin.)
    pub fn other_sessions(self) -> u32 {
        match self {
            Self::PostgreSql | Self::Mysql | Self::SqlServer | Self::Sqlite => 2,
        }
    }
}

impl fmt::Display for SourceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Which database this is: what scopes history and goes into a plan's fingerprint. No secrets.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SourceIdentity {
    /// The database family.
    pub kind: SourceKind,
    /// Host name, socket directory, or empty for a file.
    pub host: String,
    /// TCP port; 0 for a file.
    pub port: u16,
    /// Database name, or the absolute path of a SQLite file.
    pub database: String,
    /// `--source-name`: replaces host and port in the learning scope, so a failover keeps history.
    pub name: Option<String>,
}

impl fmt::Display for SourceIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            SourceKind::Sqlite => write!(f, "sqlite:{}", self.database),
            kind => write!(f, "{kind}://{}:{}/{}", self.host, self.port, self.database),
        }
    }
}

/// The schema that the rows of `--query` are recorded under.
pub const QUERY_SCHEMA: &str = "query";

/// A relation's name: exact, unquoted parts.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Relation {
    /// Schema; the database for MySQL, `main` for SQLite.
    pub schema: String,
    /// Name inside the schema.
    pub name: String,
}

impl fmt::Display for Relation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.schema, self.name)
    }
}

/// What kind of relation it is; decides which chunking and which locks are possible.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RelationKind {
    /// An ordinary table that has no inheritance children.
    Table,
    /// A partitioned table, or a table with inheritance children.
    Partitioned,
    /// A view.
    View,
    /// A materialized view.
    MaterializedView,
    /// A foreign table.
    ForeignTable,
    /// The rows of `--query`, under the name of `--name`.
    Query,
}

impl fmt::Display for RelationKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Table => "a table",
            Self::Partitioned => "a partitioned table",
            Self::View => "a view",
            Self::MaterializedView => "a materialized view",
            Self::ForeignTable => "a foreign table",
            Self::Query => "a query",
        })
    }
}

/// How a column travels from the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReadAs {
    /// In the type's own wire format.
    Native,
    /// As text that the server casts to in the select list.
    Text,
}

/// `--on-unrepresentable`: what becomes of a value that the output type cannot hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnUnrepresentable {
    /// The run stops and names it.
    #[default]
    Fail,
    /// It is written as NULL and counted.
    Null,
}

impl OnUnrepresentable {
    /// Whether it is the rule that holds where nobody said anything, which documents do not mention.
    pub fn is_fail(&self) -> bool {
        *self == Self::Fail
    }
}

/// One column of the output.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Column {
    /// Exact name.
    pub name: String,
    /// The type as the server writes it, such as `numeric(15,2)`.
    pub source_type: String,
    /// The driver's short name of the type (domains resolved), which picks the decoder.
    pub base_type: String,
    /// How it travels.
    pub read: ReadAs,
    /// The output type.
    pub field: FieldType,
    /// False only where a validated constraint of a plain table promises it.
    pub nullable: bool,
    /// The server's comment on the column.
    pub comment: Option<String>,
    /// `generated`, `identity always`, … where the column is one.
    pub generated: Option<String>,
    /// What becomes of a value that the output type cannot hold.
    #[serde(default, skip_serializing_if = "OnUnrepresentable::is_fail")]
    pub on_unrepresentable: OnUnrepresentable,
    /// `--lossy`: values are rounded or cut where the output type asks for it.
    #[serde(
        default,
        skip_serializing_if = "std::ops::Not::not",
        deserialize_with = "allowed"
    )]
    pub lossy: bool,
}

/// A manifest says of a column in the same place what else of its values is not written.
fn allowed<'de, D: serde::Deserializer<'de>>(from: D) -> Result<bool, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Said {
        Allowed(bool),
        Loss(String),
    }
    Ok(match Said::deserialize(from)? {
        Said::Allowed(allowed) => allowed,
        Said::Loss(loss) => loss == "true",
    })
}

impl Column {
    /// What of its values is not written, where that is not all: `true` is what the user allowed,
    /// `offset` is that of SQL Server's `datetimeoffset` beside its instant.
    pub fn loss(&self) -> Option<&'static str> {
        let instant = matches!(self.field, FieldType::Timestamp { utc: true, .. });
        if self.lossy {
            Some("true")
        } else if instant && self.base_type.starts_with("datetimeoffset") {
            Some("offset")
        } else {
            None
        }
    }

    /// Whether the column is of the type that the source now names in full. Plans of before name a
    /// type without its schema where that was on the role's search path.
    pub fn is_of(&self, source_type: &str) -> bool {
        source_type
            .strip_suffix(self.source_type.as_str())
            .is_some_and(|schema| schema.is_empty() || schema.ends_with('.'))
    }
}

/// How the bounds of a key column are compared, and written for the server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyOrder {
    /// As integers, by us too.
    #[default]
    Integer,
    /// By the server alone, in the column's own order.
    Server {
        /// The type that a bound's text is cast to, as the server reads it; `None` where values
        /// carry their own type (SQLite).
        cast: Option<String>,
        /// The collation that the key's index is in, as the server reads it; `None` where the
        /// type has none, or the database's own.
        collation: Option<String>,
        /// The schema of the type's comparisons, as the server reads it, where that is not the
        /// server's own: an extension's type brings its own.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        operators: Option<String>,
    },
}

impl KeyOrder {
    /// Whether we can compare, too.
    pub fn is_integer(&self) -> bool {
        *self == Self::Integer
    }
}

/// A further column of a key of several.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct KeyColumn {
    /// Exact column name.
    pub column: String,
    /// How its bounds are compared.
    #[serde(default, skip_serializing_if = "KeyOrder::is_integer")]
    pub order: KeyOrder,
}

/// What chunks can be cut on: the leading column of an index, or all columns of a primary key,
/// compared as the server does.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Key {
    /// Exact name of the (first) column.
    pub column: String,
    /// Its type as the server writes it.
    pub source_type: String,
    /// How its bounds are compared.
    #[serde(default, skip_serializing_if = "KeyOrder::is_integer")]
    pub order: KeyOrder,
    /// It is (the first column of) the primary key.
    pub primary: bool,
    /// It is unique.
    pub unique: bool,
    /// The column may hold NULLs, which then need a chunk of their own. Never of several columns.
    pub nullable: bool,
    /// The further columns of a key of several, compared one after the other.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rest: Vec<KeyColumn>,
}

impl Key {
    /// Every column with its order, the first first.
    pub fn columns(&self) -> impl Iterator<Item = (&str, &KeyOrder)> {
        let rest = self
            .rest
            .iter()
            .map(|more| (more.column.as_str(), &more.order));
        std::iter::once((self.column.as_str(), &self.order)).chain(rest)
    }

    /// Whether it is one integer column, whose values we can compare and count between.
    pub fn is_integer(&self) -> bool {
        self.rest.is_empty() && self.order.is_integer()
    }
}

/// The columns' names: `id`, or `(tenant, id)`.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.rest.is_empty() {
            return f.write_str(&self.column);
        }
        let names: Vec<&str> = self.columns().map(|(name, _)| name).collect();
        write!(f, "({})", names.join(", "))
    }
}

/// A primary key that chunks cannot be cut on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnusableKey {
    /// Its first column that is to blame, by its exact name.
    pub column: String,
    /// The column's type as the server writes it.
    pub source_type: String,
    /// What is wrong with it.
    pub defect: KeyDefect,
}

impl fmt::Display for UnusableKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the primary key's {} is passed over: ", self.column)?;
        match self.defect {
            KeyDefect::NoEncoding => f.write_str(
                "the database has no encoding, so its text may be of bytes that no bound can say",
            ),
            KeyDefect::TwoOrders => write!(
                f,
                "this server's comparisons and its index do not order every {} alike, so a range could \
                 lose rows",
                self.source_type
            ),
            KeyDefect::NoOrder => write!(
                f,
                "{} has no order that bounds can be written in",
                self.source_type
            ),
        }
    }
}

/// Why the bounds of chunks cannot be values of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyDefect {
    /// Its text may be of bytes that no literal can say: the database has no encoding.
    NoEncoding,
    /// Its type, collation or index is of no order that bounds can be written in.
    NoOrder,
    /// The server's comparisons and its index do not order its type's values alike.
    TwoOrders,
}

/// A relation as the catalogue describes it, cut down to the selected columns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    /// Exact name.
    pub relation: Relation,
    /// What it is.
    pub kind: RelationKind,
    /// The statement of `--query`, parameters filled in, where that is what is read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    /// The selected columns in the catalogue's order.
    pub columns: Vec<Column>,
    /// Keys that chunks may be cut on, best first (primary key, then unique, then others); after
    /// the first column of a primary key of several, all of them. Keys need not be among the
    /// selected columns.
    pub keys: Vec<Key>,
    /// The primary key, where none of `keys` begins as it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unusable_key: Option<UnusableKey>,
    /// The filter of `--where`, parameters filled in.
    pub filter: Option<String>,
}
