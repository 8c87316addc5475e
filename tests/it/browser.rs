//! A page as Chromium shows it, through `tests/browser.py`.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use serde::Deserialize;
use serde_json::{Value, json};

use crate::setting;

/// A screen to look at a page on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Screen {
    pub(crate) width: u32,
    pub(crate) dark: bool,
}

/// What the browser said.
#[derive(Debug, Deserialize)]
pub(crate) struct Seen {
    /// The answers of each screen, by the questions' names.
    pub(crate) views: Vec<Value>,
    /// Every request but the page's own.
    pub(crate) requests: Vec<String>,
    /// Every message of the console.
    pub(crate) console: Vec<String>,
}

/// Opens a page on each screen and asks it everything, in JavaScript.
#[track_caller]
pub(crate) fn look(page: &Path, screens: &[Screen], questions: &[(&str, &str)]) -> Seen {
    let ask: serde_json::Map<String, Value> = questions
        .iter()
        .map(|(name, script)| ((*name).to_owned(), Value::from(*script)))
        .collect();
    let views: Vec<Value> = screens
        .iter()
        .map(
            |screen| json!({"width": screen.width, "height": 844, "dark": screen.dark, "ask": ask}),
        )
        .collect();
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser.py");
    let mut child = Command::new(setting("IXTRACT_TEST_PYTHON"))
        .arg(program)
        .arg(page)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("python");
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin
        .write_all(Value::from(views).to_string().as_bytes())
        .expect("questions");
    drop(stdin);
    let output = child.wait_with_output().expect("an end");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{page:?}: {stderr}");
    serde_json::from_slice(&output.stdout).expect("answers in JSON")
}
