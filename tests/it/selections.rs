//! What a run is asked to read: the rows of a query, some columns, some rows.

mod columns;
mod query;
mod sqlite;
