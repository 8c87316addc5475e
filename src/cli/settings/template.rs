//! `{name}` in `--output`, `--where` and `--query`.

use std::path::PathBuf;

use jiff::Timestamp;

use crate::error::{ExitCode, Failure};

/// What `{…}` in `--output` stands for.
#[derive(Clone, Debug)]
pub struct Names<'a> {
    /// `{source}`: `--source-name`, else the database's name (a file's without its extension).
    pub source: &'a str,
    /// `{schema}`.
    pub schema: &'a str,
    /// `{table}`.
    pub table: &'a str,
    /// `{date}`: the UTC date of the run's start.
    pub now: Timestamp,
}

/// The names that `--output` may use.
const OUTPUT_NAMES: [&str; 4] = ["source", "schema", "table", "date"];

/// Checks that an output template uses known names only, before anything is connected to.
///
/// # Errors
/// 64, naming the unknown one.
pub fn check(template: &str) -> Result<(), Failure> {
    let unknown = split(template).into_iter().find_map(|piece| match piece {
        Piece::Name(name) if !OUTPUT_NAMES.contains(&name) => Some(name),
        _ => None,
    });
    match unknown {
        None => Ok(()),
        Some(name) => Err(Failure::new(
            ExitCode::Usage,
            format!("--output uses {{{name}}}, which is not known"),
            "known are {source} {schema} {table} {date}",
            "correct the name, or write {{ for a brace",
        )),
    }
}

/// The directory that an output template names.
pub fn directory(template: &str, names: &Names<'_>) -> PathBuf {
    let date = names.now.strftime("%Y-%m-%d").to_string();
    let filled: String = split(template)
        .into_iter()
        .map(|piece| match piece {
            Piece::Text(text) => text.to_owned(),
            Piece::Brace(brace) => brace.to_owned(),
            Piece::Name("source") => component(names.source),
            Piece::Name("schema") => component(names.schema),
            Piece::Name("table") => component(names.table),
            Piece::Name("date") => date.clone(),
            Piece::Name(other) => format!("{{{other}}}"),
        })
        .collect();
    PathBuf::from(filled)
}

/// The template of the directory that is above those of all tables: what comes before the first part
/// of the path that names a schema or a table.
pub fn above_tables(template: &str) -> &str {
    let mut at = 0;
    let mut before = template.len();
    for piece in split(template) {
        match piece {
            Piece::Name("schema" | "table") => {
                before = at;
                break;
            }
            Piece::Name(name) => at += name.len() + 2,
            Piece::Brace(_) => at += 2,
            Piece::Text(text) => at += text.len(),
        }
    }
    match template[..before].rfind('/') {
        Some(0) => "/",
        Some(slash) => &template[..slash],
        None => ".",
    }
}

/// Checks that an output template can tell several tables apart.
///
/// # Errors
/// 64 where it has no place for the table's name.
pub fn check_several(template: &str) -> Result<(), Failure> {
    if split(template).contains(&Piece::Name("table")) {
        return Ok(());
    }
    Err(Failure::new(
        ExitCode::Usage,
        "--output names one place for several tables",
        format!("{template} has no {{table}} in it"),
        "use {schema} and {table}, such as --output 'out/{schema}/{table}'",
    ))
}

/// The template of exactly this directory.
pub fn literal(directory: &str) -> String {
    directory.replace('{', "{{").replace('}', "}}")
}

/// A database's name as one component of a path, and as nothing else: what could leave the
/// directory, hide it or confuse a shell script is percent-encoded.
fn component(name: &str) -> String {
    use std::fmt::Write;
    let mut text = String::with_capacity(name.len());
    for (index, c) in name.chars().enumerate() {
        let leading_dot = c == '.' && index == 0;
        if c == '/' || c == '%' || c.is_control() || leading_dot {
            let mut bytes = [0; 4];
            for byte in c.encode_utf8(&mut bytes).bytes() {
                let _ = write!(text, "%{byte:02X}");
            }
        } else {
            text.push(c);
        }
    }
    text
}

/// The texts of flags with every `{NAME}` replaced by its parameter, as it is: quotes around it are
/// the condition's own.
///
/// Without any `--param` the texts are left alone, so that `'{1,2}'::int[]` needs no care; a `{NAME}`
/// is refused all the same: a forgotten parameter would select no rows and succeed.
///
/// # Errors
/// 64 for a name without a parameter, and for a parameter that no text uses.
pub(super) fn fill_parameters<const N: usize>(
    texts: [(&str, &Option<String>); N],
    params: &[(String, String)],
) -> Result<[Option<String>; N], Failure> {
    let mut used = vec![false; params.len()];
    let mut filled = texts.map(|(_, text)| text.clone());
    if params.is_empty() {
        return match texts.iter().find_map(forgotten) {
            Some((flag, name)) => Err(no_parameter(flag, name, params)),
            None => Ok(filled),
        };
    }
    for (slot, (flag, text)) in filled.iter_mut().zip(texts) {
        if let Some(text) = text {
            *slot = Some(fill(flag, text, params, &mut used)?);
        }
    }
    match used.iter().position(|used| !used) {
        None => Ok(filled),
        Some(index) => Err(Failure::new(
            ExitCode::Usage,
            format!("--param {} is not used", params[index].0),
            format!(
                "neither --where nor --query has {{{}}}, or the parameter is given twice",
                params[index].0
            ),
            "remove the parameter or use it in --where or --query",
        )),
    }
}

/// The first name that a text uses.
fn forgotten<'a>((flag, text): &(&'a str, &'a Option<String>)) -> Option<(&'a str, &'a str)> {
    let pieces = split(text.as_deref()?);
    pieces.into_iter().find_map(|piece| match piece {
        Piece::Name(name) => Some((*flag, name)),
        Piece::Text(_) | Piece::Brace(_) => None,
    })
}

/// One text, filled in; notes which parameters it used.
fn fill(
    flag: &str,
    text: &str,
    params: &[(String, String)],
    used: &mut [bool],
) -> Result<String, Failure> {
    let mut filled = String::with_capacity(text.len());
    for piece in split(text) {
        match piece {
            Piece::Text(text) => filled.push_str(text),
            Piece::Brace(brace) => filled.push_str(brace),
            Piece::Name(name) => {
                let found = params.iter().rposition(|(known, _)| known == name);
                let index = found.ok_or_else(|| no_parameter(flag, name, params))?;
                used[index] = true;
                filled.push_str(&params[index].1);
            }
        }
    }
    Ok(filled)
}

fn no_parameter(flag: &str, name: &str, params: &[(String, String)]) -> Failure {
    let known: Vec<&str> = params.iter().map(|(name, _)| name.as_str()).collect();
    let (why, otherwise) = if known.is_empty() {
        (
            "no --param is given".to_owned(),
            format!("ARRAY['{name}'] to mean an array of it"),
        )
    } else {
        (
            format!("given are {}", known.join(", ")),
            format!("{{{{{name}}}}} to mean the braces themselves"),
        )
    };
    Failure::new(
        ExitCode::Usage,
        format!("{flag} uses {{{name}}}, for which there is no --param"),
        why,
        format!("pass --param {name}=TEXT, or write {otherwise}"),
    )
}

/// A piece of a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Piece<'a> {
    /// As it is.
    Text(&'a str),
    /// A doubled brace: one brace.
    Brace(&'a str),
    /// `{name}`.
    Name(&'a str),
}

/// Cuts a template. Braces around anything but an identifier are text.
fn split(template: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut rest = template;
    while let Some(at) = rest.find(['{', '}']) {
        let (before, from) = rest.split_at(at);
        if !before.is_empty() {
            pieces.push(Piece::Text(before));
        }
        let (piece, length) = if from.starts_with("{{") || from.starts_with("}}") {
            (Piece::Brace(&from[..1]), 2)
        } else if let Some(name) = identifier(from) {
            (Piece::Name(name), name.len() + 2)
        } else {
            (Piece::Text(&from[..1]), 1)
        };
        pieces.push(piece);
        rest = &from[length..];
    }
    if !rest.is_empty() {
        pieces.push(Piece::Text(rest));
    }
    pieces
}

/// The identifier of a text that begins with `{identifier}`.
fn identifier(text: &str) -> Option<&str> {
    let (name, _) = text.strip_prefix('{')?.split_once('}')?;
    let first = name.chars().next()?;
    let valid = (first.is_ascii_alphabetic() || first == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    valid.then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn names<'a>(schema: &'a str, table: &'a str) -> Names<'a> {
        Names {
            source: "shop",
            schema,
            table,
            now: "2026-01-31T23:59:59Z".parse().expect("a timestamp"),
        }
    }

    fn filled(text: &str, params: &[(String, String)]) -> Result<String, Failure> {
        let text = Some(text.to_owned());
        let [filled] = fill_parameters([("--where", &text)], params)?;
        Ok(filled.expect("a text stays a text"))
    }

    #[test]
    fn outputs_are_filled() {
        let filled = directory(
            "lake/{source}/{schema}.{table}/d={date}",
            &names("public", "t"),
        );
        assert_eq!(filled, PathBuf::from("lake/shop/public.t/d=2026-01-31"));
        assert_eq!(
            directory("a{{b}}/{table}", &names("s", "t")),
            PathBuf::from("a{b}/t")
        );
    }

    #[test]
    fn an_unknown_name_is_refused_before_anything_else() {
        check("out/{schema}/{{x}}/{1}").expect("known names only");
        let failure = check("out/{tabel}").expect_err("unknown");
        assert!(failure.what.contains("{tabel}"));
    }

    #[test]
    fn parameters_are_filled_in_as_they_are() {
        let params = [
            ("a".to_owned(), "{b}".to_owned()),
            ("b".to_owned(), "2".to_owned()),
        ];
        let filled = filled("x = {a} and y = '{b}' and z = '{{c}}'", &params);
        assert_eq!(filled.expect("filled"), "x = {b} and y = '2' and z = '{c}'");
    }

    #[test]
    fn braces_without_parameters_are_sql() {
        let text = "a = any('{red,green}') or b = '{{1,2},{3,4}}'::int[]";
        assert_eq!(filled(text, &[]).expect("text"), text);
    }

    #[test]
    fn a_forgotten_parameter_is_refused() {
        let failure = filled("customer = '{who}'", &[]).expect_err("refused");
        assert_eq!(failure.exit, ExitCode::Usage);
        assert!(failure.fix.contains("--param who=TEXT"), "{failure}");
    }

    #[test]
    fn missing_and_unused_parameters_are_usage_errors() {
        let params = [("a".to_owned(), "1".to_owned())];
        for text in ["{a} {b}", "x"] {
            let failure = filled(text, &params).expect_err(text);
            assert_eq!(failure.exit, ExitCode::Usage);
        }
        let nowhere = fill_parameters([("--where", &None)], &params).expect_err("unused");
        assert!(nowhere.what.contains("--param a"), "{nowhere}");
    }

    #[test]
    fn a_parameter_may_be_used_in_one_text_or_in_both() {
        let params = ["a", "b"].map(|name| (name.to_owned(), format!("<{name}>")));
        let text = |text: &str| Some(text.to_owned());
        let (one, other) = (text("{a}"), text("{a}{b}"));
        let filled = fill_parameters([("--where", &one), ("--query", &other)], &params);
        assert_eq!(filled.expect("filled"), [text("<a>"), text("<a><b>")]);
        let (one, other) = (text("{a}{b}"), text("{c}"));
        let failure = fill_parameters([("--where", &one), ("--query", &other)], &params);
        assert!(
            failure
                .expect_err("unknown")
                .what
                .starts_with("--query uses {c}")
        );
    }

    proptest! {
        #[test]
        fn a_name_is_one_visible_component_of_a_path(name in "\\PC{1,12}|[./%{}]{1,6}") {
            let path = directory("out/{table}", &names("s", &name));
            let parts: Vec<_> = path.components().collect();
            prop_assert_eq!(parts.len(), 2);
            prop_assert!(!component(&name).starts_with('.'));
        }

        #[test]
        fn different_names_give_different_components(a in "[./%a2FE]{1,5}", b in "[./%a2FE]{1,5}") {
            prop_assert_eq!(component(&a) == component(&b), a == b);
        }
    }
}
