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

/// What every page has to be, on every screen.
#[track_caller]
pub(crate) fn assert_sound(seen: &Seen) {
    assert_eq!(seen.requests, [""; 0], "the page asked the network");
    assert_eq!(seen.console, [""; 0], "the console has something to say");
    for view in &seen.views {
        assert_eq!(
            view["wider"], 0,
            "the page is wider than its screen: {view}"
        );
        assert_eq!(view["active"], 0, "{view}");
        assert_eq!(
            view["unnamed"], 0,
            "a chart has no name, words or numbers: {view}"
        );
        assert_eq!(
            view["outside"],
            Value::Array(Vec::new()),
            "words beside the screen"
        );
        assert_eq!(
            view["covered"],
            Value::Array(Vec::new()),
            "labels over each other"
        );
        assert_eq!(
            view["pale"],
            Value::Array(Vec::new()),
            "words that are hard to read"
        );
    }
}

/// Scripts, pictures, frames and handlers; page width beyond the screen; charts without title, words and
/// numbers; labels outside of the screen or over each other; text with too little contrast.
pub(crate) const SOUND: [(&str, &str); 6] = [
    ("wider", "Math.max(0, document.documentElement.scrollWidth - innerWidth)"),
    (
        "active",
        "document.querySelectorAll('script, img, iframe, object, embed, form, [onerror], [onload]').length",
    ),
    (
        "unnamed",
        "[...document.querySelectorAll('svg[id]')].filter(svg => {
            const words = svg.getAttribute('aria-labelledby').split(' ')
                .map(id => document.getElementById(id).textContent.trim());
            const numbers = svg.closest('figure, section').querySelector('details table tbody tr');
            return svg.getAttribute('role') !== 'img' || words.length !== 2
                || words.some(text => !text) || !numbers;
        }).length",
    ),
    (
        "outside",
        "[...document.querySelectorAll('svg text')].filter(text => {
            const box = text.getBoundingClientRect();
            return box.width && (box.left < 0 || box.right > innerWidth);
        }).map(text => text.textContent)",
    ),
    (
        "covered",
        "[...document.querySelectorAll('svg[id]')].flatMap(svg => {
            const labels = [...svg.querySelectorAll('text.tick')]
                .map(text => [text.textContent, text.getBoundingClientRect()])
                .filter(([, box]) => box.width);
            return labels.flatMap(([words, a], at) => labels.slice(at + 1)
                .filter(([, b]) => a.left < b.right && b.left < a.right
                    && a.top + 3 < b.bottom && b.top + 3 < a.bottom)
                .map(([other]) => svg.id + ': ' + words + ' / ' + other));
        })",
    ),
    (
        "pale",
        "(() => {
            const light = colour => {
                const [r, g, b] = colour.match(/[\\d.]+/g).map(Number).map(value => {
                    const part = value / 255;
                    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
                });
                return 0.2126 * r + 0.7152 * g + 0.0722 * b;
            };
            const paper = light(getComputedStyle(document.body).backgroundColor);
            const contrast = ink => {
                const [high, low] = [paper, light(ink)].sort((a, b) => b - a);
                return (high + 0.05) / (low + 0.05);
            };
            return [...document.querySelectorAll('h1, h2, h3, p, dt, dd, td, th, summary, .key, .badge, text.tick')]
                .filter(one => {
                    const style = getComputedStyle(one);
                    return contrast(one.matches('text') ? style.fill : style.color) < 4.5;
                })
                .map(one => one.className.baseVal ?? one.className);
        })()",
    ),
];
