//! MySQL and MariaDB: every type, one point in time, rights, names, and ways to a server.

mod connect; // TLS, option files, passwords, and what is wrong with them.
mod consistency; // One point in time while others write, block, and kill.
mod course; // From run to run: benchmark, replay, hints, histories; and CSV.
mod gate; // Stops readers in the middle of their rows.
mod impact; // Workers are held up when the source slows down.
mod keys; // Every row once, whatever the keys are like.
mod kinds; // Names, and kinds of tables.
mod rights; // Each level of consistency, by the right that it takes.
mod types; // Every type, value by value.

/// `numbers` has 0 to 9999, out of the digits.
const NUMBERS: &str = "CREATE VIEW numbers AS
    SELECT a.d + 10 * b.d + 100 * c.d + 1000 * e.d AS n FROM digits a, digits b, digits c, digits e";
