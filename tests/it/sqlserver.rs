//! SQL Server, by a peer that speaks its protocol and is not Microsoft's server: every type, one point in
//! time, rights, names, keys, and ways to a server.

mod cases; // Types and values at their edges.
mod commands; // Plan, replay, benchmark and the others.
mod connect; // TLS, passwords, redirects, and what is wrong with them.
mod consistency; // One point in time while others write, block, and kill.
mod faults; // What goes wrong in a read or at the door, and what is said of it.
mod full; // What the server has of every chunk; and kept chunks gone on with.
mod keys; // Every row once, whatever the keys are like.
mod rights; // What is said where a right is missing.
mod types; // Every type, value by value.

use crate::extraction::DIGITS;
use crate::servers::sqlserver::SqlDatabase;

/// `numbers` has 0 to 9999, out of the digits.
const NUMBERS: &str = "CREATE TABLE numbers (n INT PRIMARY KEY);
    INSERT INTO numbers SELECT a.d + 10 * b.d + 100 * c.d + 1000 * e.d
        FROM digits a CROSS JOIN digits b CROSS JOIN digits c CROSS JOIN digits e";

/// A database with `numbers`.
fn numbered() -> SqlDatabase {
    let database = SqlDatabase::fresh();
    database.exec(DIGITS);
    database.exec(NUMBERS);
    database
}
