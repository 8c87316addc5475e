//! What the sources behind a connection have in common.

use crate::model::{FieldType, ReadAs};

/// Where we are connected: what every error names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// `host:port`, or the socket's path.
    pub(super) target: String,
    /// Database.
    pub(super) database: String,
    /// User, as we log in.
    pub(super) user: String,
}

/// How a column is read: its decoder's name, the way it travels, the output type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mapped {
    pub(super) base_type: String,
    pub(super) read: ReadAs,
    pub(super) field: FieldType,
    pub(super) lossy: bool,
}
