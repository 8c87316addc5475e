//! Decisions of the running engine and between runs; pure.
