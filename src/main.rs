//! Parse, run, print a failure, exit.

fn main() {}
