//! Postgres as a source.

use super::{ConnectOptions, Result, Source};

/// A connected Postgres database.
#[derive(Debug)]
pub struct Postgres {}
