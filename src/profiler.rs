//! Which facts to ask a source for before planning.
