//! The demo's database: a shop with skewed keys, gaps, NULLs and Unicode, the same on every machine.

use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

use super::random::Random;
use crate::error::{ExitCode, Failure};
use crate::ui::units;

/// The database's name in the demo's folder.
pub(super) const DATABASE: &str = "shop.db";

/// Marks a folder as ours. Its text names the version of the data.
const MARK: &str = ".ixtract-demo";

/// The version of the data; a folder of another version is filled anew.
const VERSION: &str = "ixtract demo data 1\n";

const CUSTOMERS: i64 = 20_000;
const ORDERS: i64 = 300_000;
const EVENTS: i64 = 150_000;

const SCHEMA: &str = "
CREATE TABLE customers (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL, city TEXT, email TEXT, joined_at TEXT NOT NULL
);
CREATE TABLE orders (
    id INTEGER PRIMARY KEY, customer_id INTEGER NOT NULL REFERENCES customers(id),
    placed_at TEXT NOT NULL, status TEXT NOT NULL, total_cents INTEGER NOT NULL,
    basket TEXT NOT NULL, note TEXT
);
CREATE TABLE events (
    id INTEGER PRIMARY KEY, order_id INTEGER, kind TEXT NOT NULL, at TEXT NOT NULL,
    seconds REAL, payload BLOB
);";

/// What was found or made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Made {
    /// The database was there from an earlier demo.
    Found,
    /// It was made now.
    Now,
}

impl Made {
    /// One line for people.
    pub(super) fn describe(self, database: &Path) -> String {
        let rows = units::exact((CUSTOMERS + ORDERS + EVENTS).unsigned_abs());
        let verb = match self {
            Self::Found => "Using",
            Self::Now => "Made",
        };
        format!(
            "{verb} {}: customers, orders and events, {rows} rows in all.",
            database.display()
        )
    }
}

/// Fills `folder` with the database, unless it is there already.
///
/// # Errors
/// 73 when the folder is not a demo's or cannot be written.
pub(super) fn make(folder: &Path) -> Result<Made, Failure> {
    claim(folder)?;
    let database = folder.join(DATABASE);
    let mark = folder.join(MARK);
    // The mark gets its version last: a demo that was interrupted starts over.
    if database.exists() && fs::read_to_string(&mark).is_ok_and(|text| text == VERSION) {
        return Ok(Made::Found);
    }
    let staged = folder.join(".shop.db.new");
    remove(&staged)?;
    fill(&staged).map_err(|error| failure(&staged, error.to_string()))?;
    fs::rename(&staged, &database).map_err(|error| failure(&database, error.to_string()))?;
    fs::write(&mark, VERSION).map_err(|error| failure(&mark, error.to_string()))?;
    Ok(Made::Now)
}

/// Makes the folder, or makes sure that it is empty or ours.
fn claim(folder: &Path) -> Result<(), Failure> {
    let mark = folder.join(MARK);
    if mark.exists() {
        return Ok(());
    }
    fs::create_dir_all(folder).map_err(|error| failure(folder, error.to_string()))?;
    let mut entries = fs::read_dir(folder).map_err(|error| failure(folder, error.to_string()))?;
    if entries.next().is_some() {
        return Err(Failure::new(
            ExitCode::Output,
            format!("{} is not a folder of the demo", folder.display()),
            format!("it holds files and no {MARK}"),
            "pass --dir with a new or empty folder",
        ));
    }
    fs::write(&mark, "").map_err(|error| failure(&mark, error.to_string()))
}

fn remove(file: &PathBuf) -> Result<(), Failure> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(failure(file, error.to_string()))
        }
        _ => Ok(()),
    }
}

fn failure(path: &Path, why: String) -> Failure {
    Failure::new(
        ExitCode::Output,
        format!("cannot make {}", path.display()),
        why,
        "pass --dir with a folder that this user may write, on a disk with 100 MB free",
    )
}

fn fill(file: &Path) -> rusqlite::Result<()> {
    let mut connection = Connection::open(file)?;
    // Nobody sees the file before it is renamed: speed matters, a crash does not.
    connection.execute_batch("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;")?;
    connection.execute_batch(SCHEMA)?;
    let transaction = connection.transaction()?;
    let mut random = Random::new(20_260_131);
    {
        let mut insert = Insert::into(&transaction, "customers", 5)?;
        for id in 1..=CUSTOMERS {
            insert.row(customer(id, &mut random))?;
        }
        let mut insert = Insert::into(&transaction, "orders", 7)?;
        let mut id = 0;
        for number in 0..ORDERS {
            id += gap(number, &mut random);
            insert.row(order(id, number, &mut random))?;
        }
        let mut insert = Insert::into(&transaction, "events", 6)?;
        for id in 1..=EVENTS {
            insert.row(event(id, &mut random))?;
        }
    }
    transaction.commit()?;
    // Statistics, which a real database has too.
    connection.execute_batch("ANALYZE")
}

/// A prepared insert of whole rows.
struct Insert<'a>(rusqlite::Statement<'a>);

impl<'a> Insert<'a> {
    fn into(connection: &'a Connection, table: &str, columns: usize) -> rusqlite::Result<Self> {
        let marks = vec!["?"; columns].join(", ");
        let sql = format!("INSERT INTO {table} VALUES ({marks})");
        Ok(Self(connection.prepare(&sql)?))
    }

    fn row<const N: usize>(&mut self, values: [Value; N]) -> rusqlite::Result<()> {
        self.0.execute(params_from_iter(values)).map(drop)
    }
}

/// The step to the next order's id: mostly one, sometimes a small gap; and once in a while a jump
/// that leaves half the key range to a fiftieth of the rows, so that equal key ranges would be
/// unequal work.
fn gap(number: i64, random: &mut Random) -> i64 {
    match number {
        n if n % (ORDERS / 8) == ORDERS / 16 => 150_000,
        _ if random.chance(30) => 1 + random.below(20),
        _ => 1,
    }
}

const FIRST: [&str; 12] = [
    "Ada",
    "Bjørn",
    "Chloé",
    "Δημήτρης",
    "Елена",
    "Fatima",
    "Grzegorz",
    "Hồ",
    "美咲",
    "지우",
    "Sofía",
    "Zoë",
];
const LAST: [&str; 10] = [
    "Ångström",
    "Brontë",
    "O'Neill",
    "Müller",
    "Novák",
    "Иванова",
    "王",
    "田中",
    "Şahin",
    "Smith",
];
const CITIES: [&str; 9] = [
    "Berlin",
    "København",
    "Kraków",
    "München",
    "São Paulo",
    "Zürich",
    "東京",
    "Αθήνα",
    "Łódź",
];
const STATUSES: [&str; 4] = ["paid", "shipped", "delivered", "returned"];
const NOTES: [&str; 5] = [
    "leave at the door",
    "gift 🎁",
    "ring twice; dog barks",
    "line one\nline two",
    "",
];
const THINGS: [&str; 8] = [
    "Kaffeemühle",
    "teapot ☕",
    "noodle bowl",
    "抹茶",
    "olive oil, 1 l",
    "crème brûlée set",
    "кружка",
    "spoon",
];
const KINDS: [&str; 5] = ["viewed", "added", "paid", "packed", "delivered"];

fn customer(id: i64, random: &mut Random) -> [Value; 5] {
    let name = format!("{} {}", random.pick(&FIRST), random.pick(&LAST));
    let city = text_or_null(random.chance(90), random.pick(&CITIES));
    let email = text_or_null(random.chance(70), &format!("customer{id}@example.com"));
    [
        Value::Integer(id),
        Value::Text(name),
        city,
        email,
        Value::Text(moment(id * 4_000)),
    ]
}

fn order(id: i64, number: i64, random: &mut Random) -> [Value; 7] {
    // The product of two uniform numbers favours small ones: some customers buy all the time.
    let customer = 1 + random.below(CUSTOMERS) * random.below(1_000) / 1_000;
    let note = random.pick(&NOTES);
    [
        Value::Integer(id),
        Value::Integer(customer),
        Value::Text(moment(number * 260 + random.below(250))),
        Value::Text(random.pick(&STATUSES).to_owned()),
        Value::Integer(100 + random.below(50_000)),
        Value::Text(basket(random)),
        text_or_null(random.chance(12), note),
    ]
}

/// What was bought, as JSON: one to six things.
fn basket(random: &mut Random) -> String {
    let things: Vec<String> = (0..=random.below(6))
        .map(|_| {
            let sku = format!("{:08X}", random.next() >> 32);
            let (thing, count) = (random.pick(&THINGS), 1 + random.below(9));
            format!(r#"{{"sku":"{sku}","name":"{thing}","count":{count}}}"#)
        })
        .collect();
    format!("[{}]", things.join(","))
}

fn event(id: i64, random: &mut Random) -> [Value; 6] {
    let order = match random.chance(95) {
        true => Value::Integer(1 + random.below(ORDERS)),
        false => Value::Null,
    };
    let seconds = match random.chance(80) {
        true => Value::Real(random.below(1_000_000) as f64 / 1_000.0),
        false => Value::Null,
    };
    let payload = match random.chance(20) {
        true => Value::Blob(random.next().to_be_bytes().to_vec()),
        false => Value::Null,
    };
    [
        Value::Integer(id),
        order,
        Value::Text(random.pick(&KINDS).to_owned()),
        Value::Text(moment(id * 490)),
        seconds,
        payload,
    ]
}

fn text_or_null(text: bool, value: &str) -> Value {
    if text {
        Value::Text(value.to_owned())
    } else {
        Value::Null
    }
}

/// A time of 2023 to 2025, in SQLite's own spelling.
fn moment(seconds: i64) -> String {
    const START: i64 = 1_672_531_200;
    match jiff::Timestamp::from_second(START + seconds) {
        Ok(time) => time.strftime("%Y-%m-%d %H:%M:%S").to_string(),
        Err(_) => "2023-01-01 00:00:00".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows_of(folder: &Path, sql: &str) -> i64 {
        let connection = Connection::open(folder.join(DATABASE)).expect("a database");
        connection
            .query_row(sql, [], |row| row.get(0))
            .expect("a number")
    }

    #[test]
    fn the_database_is_made_once_with_everything_that_is_interesting() {
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path().join("new/demo");
        assert_eq!(make(&folder).expect("made"), Made::Now);
        assert_eq!(make(&folder).expect("found"), Made::Found);
        assert_eq!(rows_of(&folder, "SELECT count(*) FROM orders"), ORDERS);
        assert_eq!(rows_of(&folder, "SELECT count(*) FROM events"), EVENTS);
        let range = rows_of(&folder, "SELECT max(id) FROM orders");
        assert!(range > 2 * ORDERS, "no gaps: {range}");
        for nullable in ["orders WHERE note IS NULL", "events WHERE payload IS NULL"] {
            assert!(rows_of(&folder, &format!("SELECT count(*) FROM {nullable}")) > 0);
        }
        let unicode = "SELECT count(*) FROM customers WHERE length(name) < length(name || '')
            OR length(CAST(name AS BLOB)) > length(name)";
        assert!(rows_of(&folder, unicode) > 0);
    }

    #[test]
    fn a_folder_of_somebody_else_is_left_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("thesis.txt"), "mine").expect("written");
        let failure = make(folder.path()).expect_err("refused");
        assert_eq!(failure.exit, ExitCode::Output);
        assert_eq!(fs::read_dir(folder.path()).expect("listed").count(), 1);
    }

    #[test]
    fn an_interrupted_demo_starts_over() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join(MARK), "").expect("written");
        fs::write(folder.path().join(DATABASE), "half").expect("written");
        assert_eq!(make(folder.path()).expect("made"), Made::Now);
    }
}
