//! Every type, value by value: the server is the oracle, other people's programs read the files.
//!
//! A test makes a table with one column for each type, edge values first, then random ones, NULLs
//! between; asks the server for its own text of every value under pinned settings; extracts the table
//! in several ways; and holds each value that a reader gets against the server's.

mod casts; // Types that the server turns into text.
mod hostile; // Defaults of databases and roles that must not matter.
mod large; // Values of fifty megabytes.
mod lists; // Arrays.
mod money; // Under other locales.
mod oracle; // From a server's text to the readers'.
mod overrides; // What the user wants of a column.
mod results; // docs/types.md, as the comparison writes it.
mod shaken; // Random tables, read in random ways.
mod sqlite; // SQLite, where a column's type promises little.
mod table; // A table of many types, and what it must become.
mod unrepresentable; // Values that stop the run.
mod wire; // Types that travel in their own binary form.

pub(crate) use oracle::Kind;
pub(crate) use results::expect_page;
pub(crate) use table::Filled;

use crate::servers::Database;

/// Fills `public.t` with every type that travels in its own binary form.
pub(crate) fn fill_wire_types(database: &Database, rows: usize) -> Filled {
    Filled::create(database, &wire::every_type(), rows, wire::LARGE_VALUES)
}

/// Fills `public.t` with types that the server turns into text.
pub(crate) fn fill_cast_types(database: &Database, rows: usize) -> Filled {
    database.exec(casts::TYPES);
    Filled::create(database, &casts::columns(), rows, "")
}
