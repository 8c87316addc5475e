//! Landmarks among keys that are no numbers: text, and keys of several columns. The server is asked
//! for the keys at or behind made-up ones, and for its estimate of the rows between them; where many
//! lie, again, with longer ones. Each question is a descent of the index.

use super::super::Result;
use super::axis::Axis;
use super::density::Question;
use super::sql::{self, quote_identifier};
use super::statistics::bounded;
use crate::model::{ChunkBounds, Key, KeyOrder, KeyRange, KeyValue};

/// Times that heavy stretches are divided.
const ROUNDS: usize = 6;

/// Heavy stretches that are divided in one round, at most.
const DIVIDED: usize = 48;

/// Made-up values between two of a column that has an axis.
const STEPS: i128 = 16;

/// Signs that text goes on with, most often.
const SIGNS: &str = " -./:@_0123456789abcdefghijklmnopqrstuvwxyz";
const CAPITALS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";

/// A key that is there, and the estimated rows from it to the next.
struct Mark {
    key: KeyValue,
    mass: f64,
}

impl Question<'_> {
    /// Cuts at equal estimated rows, each at a key that is there.
    pub(super) async fn probe(
        &mut self,
        low: &KeyValue,
        high: &KeyValue,
        parts: u32,
    ) -> Result<Vec<KeyValue>> {
        let mut marks = vec![
            Mark {
                mass: self.between(low, high).await?,
                key: low.clone(),
            },
            Mark {
                key: high.clone(),
                mass: 1.0,
            },
        ];
        for _ in 0..ROUNDS {
            let total: f64 = marks.iter().map(|mark| mark.mass).sum();
            let fair = total / f64::from(parts);
            let mut heavy: Vec<usize> = (0..marks.len() - 1)
                .filter(|at| marks[*at].mass > 2.0 * fair && marks[*at].mass > 2.0)
                .collect();
            if marks.len() == 2 {
                // Whatever is estimated: of a new table that may be next to nothing.
                heavy = vec![0];
            }
            heavy.sort_by(|one, other| marks[*other].mass.total_cmp(&marks[*one].mass));
            heavy.truncate(DIVIDED);
            heavy.sort_unstable();
            let mut found_any = false;
            // From behind, so that places before stay what they are.
            for at in heavy.into_iter().rev() {
                let (lower, upper) = (marks[at].key.clone(), marks[at + 1].key.clone());
                let found = self.found_between(&lower, &upper).await?;
                found_any |= !found.is_empty();
                if found.is_empty() {
                    continue;
                }
                let keys: Vec<KeyValue> = std::iter::once(lower).chain(found).collect();
                let mut next = Vec::with_capacity(keys.len());
                for (key, end) in keys.iter().zip(keys.iter().skip(1).chain([&upper])) {
                    let mass = self.between(key, end).await?;
                    let key = key.clone();
                    next.push(Mark { key, mass });
                }
                marks.splice(at..=at, next);
            }
            if !found_any {
                break;
            }
        }
        Ok(cuts(&marks, parts))
    }

    /// Estimated rows of a stretch.
    async fn between(&mut self, lower: &KeyValue, upper: &KeyValue) -> Result<f64> {
        let bounds = ChunkBounds::Key(KeyRange {
            lower: Some(lower.clone()),
            upper: Some(upper.clone()),
        });
        match sql::predicate(&bounds, Some(self.key)) {
            // The lower one is there.
            Ok(Some(predicate)) => Ok(self.explain(&predicate).await?.max(1.0)),
            _ => Ok(1.0),
        }
    }

    /// Keys between two others, ascending, by made-up ones.
    async fn found_between(&mut self, lower: &KeyValue, upper: &KeyValue) -> Result<Vec<KeyValue>> {
        let probes = probes(self.key, lower, upper);
        let Some(inside) = sql::inside(self.key, lower, upper).filter(|_| !probes.is_empty())
        else {
            return Ok(Vec::new());
        };
        let columns: Vec<String> = self
            .key
            .columns()
            .map(|(name, _)| quote_identifier(name))
            .collect();
        let raw = columns.join(", ");
        let one = |probe: &Probe| {
            format!(
                "(SELECT {raw} FROM {} WHERE {inside} AND {} ORDER BY {} LIMIT 1)",
                self.from(),
                probe.predicate,
                self.by(if probe.last { "DESC" } else { "ASC" })
            )
        };
        let union: Vec<String> = probes.iter().map(one).collect();
        let sql = format!(
            "SELECT DISTINCT {} FROM ({}) AS found ORDER BY {raw}",
            self.shown().join(", "),
            union.join(" UNION ALL ")
        );
        let rows = bounded(self.link, &self.subject, &sql).await?;
        Ok(rows.iter().filter_map(|row| self.value(row)).collect())
    }
}

/// Marks at which the running mass passes each of `parts − 1` equal steps.
fn cuts(marks: &[Mark], parts: u32) -> Vec<KeyValue> {
    let total: f64 = marks.iter().map(|mark| mark.mass).sum();
    let mut cuts = Vec::new();
    let mut before = 0.0;
    let mut rest = marks.iter().peekable();
    for step in 1..parts {
        let target = total * f64::from(step) / f64::from(parts);
        while let Some(mark) = rest.peek()
            && before + mark.mass / 2.0 < target
        {
            before += mark.mass;
            rest.next();
        }
        match rest.peek() {
            Some(mark) => cuts.push(mark.key.clone()),
            None => break,
        }
    }
    cuts
}

/// A question for one key.
struct Probe {
    predicate: String,
    /// The last that fits instead of the first.
    last: bool,
}

/// Questions for keys between two others.
fn probes(key: &Key, lower: &KeyValue, upper: &KeyValue) -> Vec<Probe> {
    let columns: Vec<(&str, &KeyOrder)> = key.columns().collect();
    let (low, high) = (lower.parts(), upper.parts());
    let alike = low.iter().zip(high).take_while(|(one, other)| one == other);
    let at = alike.count();
    let (Some((name, order)), Some(from), Some(to)) = (columns.get(at), low.get(at), high.get(at))
    else {
        return Vec::new();
    };
    let column = quote_identifier(name);
    let literal = |value: &KeyValue, order: &KeyOrder| sql::literal(value, order);
    let fixed: Option<Vec<String>> = columns
        .iter()
        .zip(low)
        .take(at)
        .map(|((name, order), value)| {
            Some(format!(
                "{} = {}",
                quote_identifier(name),
                literal(value, order)?
            ))
        })
        .collect();
    let (Some(fixed), Some(least)) = (fixed, literal(from, order)) else {
        return Vec::new();
    };
    let behind = |condition: String| {
        let terms = fixed.iter().cloned().chain([condition]);
        terms.collect::<Vec<_>>().join(" AND ")
    };
    let first = |condition: String| Probe {
        predicate: behind(condition),
        last: false,
    };
    let mut probes: Vec<Probe> = made_up(order, from, to)
        .iter()
        .filter_map(|value| literal(value, order))
        .map(|value| first(format!("{column} >= {value}")))
        .collect();
    probes.push(first(format!("{column} > {least}")));
    // The last one before the upper: where all keys between begin alike, it shares more with the lower
    // than the upper does.
    probes.push(Probe {
        predicate: behind(format!("{column} >= {least}")),
        last: true,
    });
    // Of several columns: where the lower one's own value ends.
    if at + 1 < columns.len() {
        probes.push(Probe {
            predicate: behind(format!("{column} = {least}")),
            last: true,
        });
    }
    probes
}

/// Values between two of a column, or about there.
fn made_up(order: &KeyOrder, from: &KeyValue, to: &KeyValue) -> Vec<KeyValue> {
    let single = Key {
        column: String::new(),
        source_type: String::new(),
        order: order.clone(),
        primary: false,
        unique: false,
        nullable: false,
        rest: Vec::new(),
    };
    if let Some(axis) = Axis::of(&single, from, to) {
        let ends = axis.place(from).zip(axis.place(to));
        let Some((low, high)) = ends else {
            return Vec::new();
        };
        let steps = STEPS.min(high - low);
        let places = (1..steps).map(|step| low + (high - low) * step / steps);
        return places.filter_map(|place| axis.value(place)).collect();
    }
    match (from, to) {
        (KeyValue::Typed { kind, text: from }, KeyValue::Typed { text: to, .. }) => {
            let words = match kind.as_str() {
                "text" => words(from, to),
                _ => Vec::new(),
            };
            words
                .iter()
                .map(|word| KeyValue::typed(kind, word))
                .collect()
        }
        _ => Vec::new(),
    }
}

/// What two texts share, and the lower one's next letter too, gone on with in many ways.
fn words(from: &str, to: &str) -> Vec<String> {
    let shared: String = from
        .chars()
        .zip(to.chars())
        .take_while(|(one, other)| one == other)
        .map(|(one, _)| one)
        .collect();
    let next = |text: &str| text[shared.len()..].chars().next();
    let longer = next(from).map(|letter| format!("{shared}{letter}"));
    let mut signs: Vec<char> = SIGNS.chars().chain(CAPITALS.chars()).collect();
    if let (Some(one), Some(other)) = (next(from), next(to))
        && !(one.is_ascii() && other.is_ascii())
    {
        let (low, high) = (u32::from(one.min(other)), u32::from(one.max(other)));
        let step = ((high - low) / 32).max(1) as usize;
        signs.extend((low..high).step_by(step).filter_map(char::from_u32));
    }
    let beginnings = std::iter::once(shared.clone()).chain(longer);
    beginnings
        .flat_map(|beginning| signs.iter().map(move |sign| format!("{beginning}{sign}")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_gone_on_with() {
        let words = words("user-0001", "user-0990");
        assert!(words.contains(&"user-05".to_owned()) && words.contains(&"user-007".to_owned()));
        assert!(super::words("", "é").contains(&"a".to_owned()));
    }

    #[test]
    fn cuts_are_where_the_mass_is() {
        let mark = |text: &str, mass| Mark {
            key: KeyValue::typed("text", text),
            mass,
        };
        let marks = [
            mark("a", 1.0),
            mark("b", 6.0),
            mark("c", 1.0),
            mark("d", 0.0),
        ];
        let cuts: Vec<String> = cuts(&marks, 4).iter().map(ToString::to_string).collect();
        assert_eq!(cuts, ["b", "b", "c"]);
    }

    #[test]
    fn the_first_column_that_differs_is_probed() {
        let order = KeyOrder::Integer;
        let key = Key {
            column: "a".to_owned(),
            source_type: "int".to_owned(),
            order: order.clone(),
            primary: true,
            unique: true,
            nullable: false,
            rest: vec![crate::model::KeyColumn {
                column: "b".to_owned(),
                order,
            }],
        };
        let tuple = |a, b| KeyValue::Tuple(vec![KeyValue::Int(a), KeyValue::Int(b)]);
        let asked: Vec<String> = probes(&key, &tuple(1, 5), &tuple(2, 0))
            .into_iter()
            .map(|probe| probe.predicate)
            .collect();
        assert_eq!(asked, ["`a` > 1", "`a` >= 1", "`a` = 1"]);
        let inner = probes(&key, &tuple(1, 5), &tuple(1, 9));
        assert!(inner[0].predicate.starts_with("`a` = 1 AND `b` >= 6"));
    }
}
