//! What a decoder could not turn into Arrow.

use std::fmt;

/// The bytes are not what the type's format says: the stream cannot be trusted any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Malformed(pub(in super::super) String);

/// A value that the output type cannot hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Refusal {
    /// Its row.
    pub(in super::super) row: usize,
    /// The value as the server prints it, or as near as can be.
    pub(in super::super) value: String,
    /// What cannot be held.
    pub(in super::super) why: &'static str,
}

/// Values of one column that its output type cannot hold; each stands as NULL in the array.
#[derive(Default)]
pub(in super::super) struct Refused {
    rows: Vec<usize>,
    first: Option<Refusal>,
}

impl Refused {
    /// Puts a row on the list; only the first one's value is described.
    #[cold]
    pub(super) fn add(&mut self, row: usize, describe: impl FnOnce() -> (String, &'static str)) {
        self.rows.push(row);
        if self.first.is_none() {
            let (value, why) = describe();
            self.first = Some(Refusal { row, value, why });
        }
    }

    /// The rows and the first of them; none are left.
    pub(super) fn take_rows(&mut self) -> Option<(Vec<usize>, Refusal)> {
        let first = self.first.take()?;
        Some((std::mem::take(&mut self.rows), first))
    }

    /// How many there were and the first of them; none are left.
    pub(in super::super) fn take(&mut self) -> Option<(u64, Refusal)> {
        let count = self.rows.len() as u64;
        self.rows.clear();
        Some((count, self.first.take()?))
    }
}

impl fmt::Debug for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} refused, first {:?}", self.rows.len(), self.first)
    }
}
