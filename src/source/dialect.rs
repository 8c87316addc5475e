//! Quoting and chunk predicates: pure text, no server.
