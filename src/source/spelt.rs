//! Ranges of keys for databases that have no comparison of rows, or none that uses an index: spelt out
//! column by column.

/// The range of the keys from `lower` on that are below `upper`, each given as one term a column. NULL
/// keys are in no range, so one that is open at both ends says so.
///
/// Columns in which both bounds are alike are compared for equality: it means the same, and the server
/// then knows how few rows there are.
pub(super) fn range(
    columns: &[String],
    lower: Option<&[String]>,
    upper: Option<&[String]>,
) -> String {
    let fixed = match (lower, upper) {
        (Some(lower), Some(upper)) => {
            let pairs = lower.iter().zip(upper);
            let alike = pairs.take_while(|(one, other)| one == other).count();
            // Bounds that are alike throughout hold nothing between them.
            alike.min(columns.len() - 1)
        }
        _ => 0,
    };
    let mut parts: Vec<String> = Vec::new();
    if let Some(lower) = lower {
        let equal = columns.iter().zip(lower).take(fixed);
        parts.extend(equal.map(|(column, value)| format!("{column} = {value}")));
        parts.push(compared(&columns[fixed..], ">=", &lower[fixed..]));
    }
    if let Some(upper) = upper {
        parts.push(compared(&columns[fixed..], "<", &upper[fixed..]));
    }
    if parts.is_empty() {
        parts.extend(columns.iter().map(|column| format!("{column} IS NOT NULL")));
    }
    parts.join(" AND ")
}

/// `a > x OR (a = x AND (b > y OR (b = y AND c >= z)))`: what `(a, b, c) >= (x, y, z)` means. The
/// leading `a >= x` says nothing new and lets the server range on the index.
pub(super) fn compared(left: &[String], operator: &str, right: &[String]) -> String {
    let strict = &operator[..1];
    let (Some(a), Some(x)) = (left.first(), right.first()) else {
        return "1 = 1".to_owned();
    };
    if left.len() == 1 {
        return format!("{a} {operator} {x}");
    }
    let rest = compared(&left[1..], operator, &right[1..]);
    format!("({a} {strict}= {x} AND ({a} {strict} {x} OR ({rest})))")
}
