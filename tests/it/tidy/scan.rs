//! Just enough of Rust's grammar to find the paths a file names: tokens, without comments and
//! literals, and the trees of `use`.

use std::path::Path;

/// A Rust file, relative to the repository.
pub(super) struct Source {
    pub(super) path: String,
    lines: usize,
    tokens: Vec<Token>,
    /// Lines of items under `#[cfg(test)]`.
    test_lines: usize,
    /// Modules in files of their own under `#[cfg(test)]`.
    test_modules: Vec<String>,
}

/// A path that a file names, such as `std::fs::File`; from a `use`, one for each leaf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reference {
    pub(super) segments: Vec<String>,
    pub(super) line: usize,
}

#[derive(Clone, Debug)]
struct Token {
    text: String,
    line: usize,
}

impl Token {
    fn is_name(&self) -> bool {
        self.text
            .starts_with(|first: char| first.is_alphabetic() || first == '_')
    }
}

impl Source {
    pub(super) fn new(path: &str, text: &str) -> Self {
        let mut source = Self {
            path: path.to_owned(),
            lines: text.lines().count(),
            tokens: Vec::new(),
            test_lines: 0,
            test_modules: Vec::new(),
        };
        source.keep_what_is_no_test(&tokens(text));
        source
    }

    /// The file's module, from the crate's root: `src/source/postgres/copy.rs` is
    /// `[source, postgres, copy]`.
    pub(super) fn module(&self) -> Vec<&str> {
        let inner = self.path.trim_start_matches("src/").trim_end_matches(".rs");
        let mut module: Vec<_> = inner.split('/').collect();
        if module.len() > 1 && module.last() == Some(&"mod") {
            module.pop();
        }
        module
    }

    /// The top-level module, `lib` and `main` for the roots.
    pub(super) fn room(&self) -> &str {
        self.module()[0]
    }

    pub(super) fn lines_without_tests(&self) -> usize {
        self.lines - self.test_lines
    }

    /// Every path the file names, outside its tests.
    pub(super) fn references(&self) -> Vec<Reference> {
        let mut reader = Reader {
            tokens: &self.tokens,
            at: 0,
            found: Vec::new(),
        };
        while reader.at < self.tokens.len() {
            if self.tokens[reader.at].is_name() {
                reader.path(&[]);
            } else {
                reader.at += 1;
            }
        }
        reader.found
    }

    /// The paths that lead to this crate, from its root.
    pub(super) fn inside_crate(&self) -> Vec<Reference> {
        self.references()
            .into_iter()
            .filter_map(|path| self.resolved(path))
            .collect()
    }

    /// The path without `crate`, `self` and `super`; `None` for a path to elsewhere.
    fn resolved(&self, mut path: Reference) -> Option<Reference> {
        let base = match path.segments[0].as_str() {
            "crate" => Vec::new(),
            // A path of this module's own, but for the `super`s that follow.
            "self" | "super" if path.segments.len() > 1 => self.module(),
            _ => return None,
        };
        let mut base: Vec<String> = base.into_iter().map(str::to_owned).collect();
        let mut rest = path.segments.split_off(0).into_iter().peekable();
        while let Some(step) = rest.next_if(|s| ["crate", "self", "super"].contains(&s.as_str())) {
            if step == "super" {
                base.pop();
            }
        }
        path.segments = base.into_iter().chain(rest).collect();
        (!path.segments.is_empty()).then_some(path)
    }

    fn keep_what_is_no_test(&mut self, tokens: &[Token]) {
        const MARK: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
        let mut at = 0;
        while at < tokens.len() {
            let marked = tokens[at..]
                .iter()
                .map(|token| token.text.as_str())
                .take(MARK.len())
                .eq(MARK);
            if !marked {
                self.tokens.push(tokens[at].clone());
                at += 1;
                continue;
            }
            let end = item_end(tokens, at + MARK.len());
            let last = tokens
                .get(end)
                .or(tokens.last())
                .map_or(0, |token| token.line);
            self.test_lines += last + 1 - tokens[at].line;
            let item = &tokens[at..tokens.len().min(end + 1)];
            if let [.., keyword, name, semicolon] = item
                && (keyword.text.as_str(), semicolon.text.as_str()) == ("mod", ";")
            {
                self.test_modules.push(name.text.clone());
            }
            at = end + 1;
        }
    }
}

/// Where the item ends that begins at `start`: its semicolon or the brace that closes it.
fn item_end(tokens: &[Token], start: usize) -> usize {
    let mut depth = 0;
    for (at, token) in tokens.iter().enumerate().skip(start) {
        match token.text.as_str() {
            "{" | "(" | "[" => depth += 1,
            "}" | ")" | "]" => depth -= 1,
            _ => {}
        }
        if depth < 0 {
            // A field or an arm: it ends where what it belongs to does, at the latest.
            return at - 1;
        }
        if depth == 0 && ["}", ";"].contains(&token.text.as_str()) {
            return at;
        }
    }
    tokens.len()
}

/// Walks over tokens and collects paths.
struct Reader<'a> {
    tokens: &'a [Token],
    at: usize,
    found: Vec<Reference>,
}

impl Reader<'_> {
    fn next_is(&self, text: &str) -> bool {
        self.tokens
            .get(self.at)
            .is_some_and(|token| token.text == text)
    }

    /// Reads the path, or tree of paths, whose first name is the current token.
    fn path(&mut self, prefix: &[String]) {
        let mut segments = prefix.to_vec();
        let line = self.tokens[self.at].line;
        loop {
            segments.push(
                self.tokens[self.at]
                    .text
                    .trim_start_matches("r#")
                    .to_owned(),
            );
            self.at += 1;
            if !self.next_is("::") {
                break;
            }
            self.at += 1;
            if self.next_is("{") {
                return self.group(&segments);
            }
            if self.next_is("*") {
                segments.push("*".to_owned());
                self.at += 1;
                break;
            }
            // The types of a turbofish are paths of their own.
            if !self.tokens.get(self.at).is_some_and(Token::is_name) {
                break;
            }
        }
        if segments.len() > 1 && segments.last().is_some_and(|last| last == "self") {
            segments.pop();
        }
        self.found.push(Reference { segments, line });
        if self.next_is("as") {
            // The new name is a name of this file's.
            self.at += 2;
        }
    }

    /// Reads `{a, b::c, self}`, each of which begins with `prefix`.
    fn group(&mut self, prefix: &[String]) {
        self.at += 1;
        while self.at < self.tokens.len() && !self.next_is("}") {
            let token = &self.tokens[self.at];
            if token.is_name() {
                self.path(prefix);
            } else {
                if token.text == "*" {
                    let segments = [prefix, &["*".to_owned()]].concat();
                    self.found.push(Reference {
                        segments,
                        line: token.line,
                    });
                }
                self.at += 1;
            }
        }
        self.at += 1;
    }
}

/// The tokens of a file: names, `::`, and every other sign by itself. Comments and literals are
/// left out, so that nothing inside them counts.
fn tokens(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let (mut rest, mut line) = (text, 1);
    while let Some(first) = rest.chars().next() {
        let skipped = literal_or_comment(rest);
        let length = skipped.unwrap_or_else(|| token_length(rest, first));
        if skipped.is_none() && !first.is_whitespace() {
            tokens.push(Token {
                text: rest[..length].to_owned(),
                line,
            });
        }
        line += rest[..length].matches('\n').count();
        rest = &rest[length..];
    }
    tokens
}

fn token_length(rest: &str, first: char) -> usize {
    let is_part = |part: char| part.is_alphanumeric() || part == '_';
    let name = rest.strip_prefix("r#").unwrap_or(rest);
    if is_part(first) {
        let length = name.find(|part| !is_part(part)).unwrap_or(name.len());
        rest.len() - name.len() + length
    } else if rest.starts_with("::") {
        2
    } else {
        first.len_utf8()
    }
}

/// The length of the comment or literal that begins here, if one does.
fn literal_or_comment(rest: &str) -> Option<usize> {
    if rest.starts_with("//") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    if rest.starts_with("/*") {
        return Some(block_comment(rest));
    }
    // `b"…"` and `c"…"` differ from `"…"` by a letter, raw ones by `r` and number signs.
    let unprefixed = rest.strip_prefix(['b', 'c']).unwrap_or(rest);
    if let Some(raw) = unprefixed.strip_prefix('r') {
        let signs = raw.len() - raw.trim_start_matches('#').len();
        if let Some(body) = raw[signs..].strip_prefix('"') {
            let close = format!("\"{}", "#".repeat(signs));
            let end = body
                .find(&close)
                .map_or(body.len(), |end| end + close.len());
            return Some(rest.len() - body.len() + end);
        }
    }
    if let Some(body) = unprefixed.strip_prefix('"') {
        return Some(rest.len() - body.len() + quoted(body, '"'));
    }
    let body = unprefixed
        .strip_prefix('\'')
        .filter(|body| !is_lifetime(body))?;
    Some(rest.len() - body.len() + quoted(body, '\''))
}

/// A lifetime is a quote before a name; a character is one sign, or an escape, between quotes.
fn is_lifetime(after_quote: &str) -> bool {
    let mut signs = after_quote.chars();
    signs.next() != Some('\\') && signs.next() != Some('\'')
}

fn quoted(body: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, sign) in body.char_indices() {
        if escaped {
            escaped = false;
        } else if sign == '\\' {
            escaped = true;
        } else if sign == quote {
            return at + 1;
        }
    }
    body.len()
}

/// They nest.
fn block_comment(rest: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        if rest[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += rest[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    rest.len()
}

/// Reads the Rust files of a folder and those below, sorted; none where there is no such folder.
pub(super) fn rust_files(root: &Path, folder: &str) -> Vec<Source> {
    let Ok(entries) = std::fs::read_dir(root.join(folder)) else {
        return Vec::new();
    };
    let mut names: Vec<_> = entries
        .map(|entry| entry.expect("a directory entry").file_name())
        .filter_map(|name| name.into_string().ok())
        .collect();
    names.sort();
    let mut sources = Vec::new();
    for path in names.iter().map(|name| format!("{folder}/{name}")) {
        if root.join(&path).is_dir() {
            sources.extend(rust_files(root, &path));
        } else if path.ends_with(".rs") {
            let text = std::fs::read_to_string(root.join(&path)).expect("a source file");
            sources.push(Source::new(&path, &text));
        }
    }
    sources
}

/// Leaves out the files that are modules under `#[cfg(test)]` of another one.
pub(super) fn without_test_files(sources: Vec<Source>) -> Vec<Source> {
    let declared = |source: &Source| {
        let parent = source
            .module()
            .into_iter()
            .filter(|name| !["lib", "main"].contains(name));
        let parent: Vec<String> = parent.map(str::to_owned).collect();
        let child = move |name: &String| [&parent[..], std::slice::from_ref(name)].concat();
        source.test_modules.iter().map(child).collect::<Vec<_>>()
    };
    let test_only: Vec<Vec<String>> = sources.iter().flat_map(declared).collect();
    let is_test = |source: &Source| {
        let module = source.module();
        test_only
            .iter()
            .any(|test| module.len() >= test.len() && module[..test.len()] == test[..])
    };
    sources
        .into_iter()
        .filter(|source| !is_test(source))
        .collect()
}
