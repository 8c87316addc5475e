//! What somebody may have meant by a name that is not there.

/// The names nearest to what was written, nearest first, at most three. A candidate is what is
/// compared and what is shown; of equally near ones those that came first are taken.
pub fn nearest<'a>(
    wanted: &str,
    candidates: impl Iterator<Item = (&'a str, &'a str)>,
) -> Vec<String> {
    let wanted = wanted.to_lowercase();
    // A third of the letters may differ; what is further off is another name, not a slip.
    let limit = (wanted.chars().count().saturating_add(1) / 3).max(1);
    let mut found: Vec<(usize, &str)> = candidates
        .map(|(name, shown)| (distance(&wanted, &name.to_lowercase()), shown))
        .filter(|(distance, _)| *distance <= limit)
        .collect();
    // Stable, so that the order in which they came decides between equals.
    found.sort_by_key(|(distance, _)| *distance);
    let mut names: Vec<String> = Vec::with_capacity(3);
    for (_, shown) in found {
        if names.len() < 3 && !names.iter().any(|name| name == shown) {
            names.push(shown.to_owned());
        }
    }
    names
}

/// Levenshtein's edit distance in characters.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn near(wanted: &str, names: &[&str]) -> Vec<String> {
        nearest(wanted, names.iter().map(|name| (*name, *name)))
    }

    #[test]
    fn slips_are_near_and_strangers_are_not() {
        let names = ["lineitem", "line_items", "customers"];
        assert_eq!(near("lineitm", &names), ["lineitem"]);
        assert!(near("zebra", &names).is_empty());
        assert_eq!(
            near("ordrs", &["order_lines", "Order", "orders"]),
            ["orders", "Order"]
        );
    }

    #[test]
    fn of_equally_near_names_the_first_ones_are_shown_each_once() {
        let shown = nearest(
            "tbl",
            [
                ("tble", "z.tble"),
                ("tbls", "b.tbls"),
                ("tbla", "b.tbls"),
                ("tblb", "a.tblb"),
                ("tblc", "a.tblc"),
            ]
            .into_iter(),
        );
        assert_eq!(shown, ["z.tble", "b.tbls", "a.tblb"]);
    }

    proptest! {
        #[test]
        fn distance_is_symmetric_and_bounded(a in ".{0,8}", b in ".{0,8}") {
            prop_assert_eq!(distance(&a, &b), distance(&b, &a));
            prop_assert!(distance(&a, &b) <= a.chars().count().max(b.chars().count()));
            prop_assert_eq!(distance(&a, &a), 0);
        }
    }
}
