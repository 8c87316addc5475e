//! The SQLite store that carries history between runs.
