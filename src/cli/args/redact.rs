//! Secrets that clap would repeat.

/// `text` with the password of every URL in it replaced by `…`; rather too much than too little.
///
/// clap repeats words of the command line in its messages; a mistyped flag must not log a secret.
pub fn redact(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        clean.push_str(before);
        let end = after
            .find(|c: char| c.is_whitespace() || matches!(c, '\'' | '"'))
            .unwrap_or(after.len());
        let (word, others) = after.split_at(end);
        // The last '@': a password may hold one unencoded.
        let parts = word
            .rsplit_once('@')
            .and_then(|(login, place)| login.split_once(':').map(|(user, _)| (user, place)));
        match parts {
            Some((user, place)) => clean.extend([user, ":…@", place]),
            None => clean.push_str(word),
        }
        rest = others;
    }
    clean.push_str(rest);
    redact_parameter(&clean)
}

/// The same for libpq's `password=` parameter.
fn redact_parameter(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("password=") {
        let (before, after) = rest.split_at(at + "password=".len());
        clean.push_str(before);
        clean.push('…');
        let end = after
            .find(|c: char| c.is_whitespace() || matches!(c, '&' | '\'' | '"'))
            .unwrap_or(after.len());
        rest = &after[end..];
    }
    clean.push_str(rest);
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_taken_out_of_urls() {
        let cases = [
            ("no url here", "no url here"),
            ("x 'pg://u:pw@h/d' y", "x 'pg://u:…@h/d' y"),
            ("pg://u@h:5432/d", "pg://u@h:5432/d"),
            ("pg://u:p@w/x@h/d", "pg://u:…@h/d"),
            ("pg://h/d?password=pw&x=1", "pg://h/d?password=…&x=1"),
            ("a://u:1@h b://v:2@i", "a://u:…@h b://v:…@i"),
        ];
        for (text, want) in cases {
            assert_eq!(redact(text), want);
        }
    }
}
