//! The command line: words in, exit code out.

pub mod args;
pub mod settings;
