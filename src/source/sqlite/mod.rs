//! Sqlite as a source.

use super::{ConnectOptions, Result, Source};

/// A connected Sqlite database.
#[derive(Debug)]
pub struct Sqlite {}
