//! Canonical bytes of a plan, their SHA-256, and the check of plans that come from outside.

use std::fmt::Write;

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::error::PlanError;
use crate::model::{ExecutionPlan, ExecutionSpec, PLAN_VERSION, hex};

/// The canonical text of a JSON value: keys sorted at every level, no spaces, non-ASCII kept,
/// floats rounded to six decimals and printed as Python prints them, integers unchanged.
pub fn canonical_json(value: &Value) -> String {
    let mut text = String::new();
    write_value(&mut text, value);
    text
}

/// The fingerprint of a plan's decisions: SHA-256 over their canonical text, in hex.
pub fn fingerprint(spec: &ExecutionSpec) -> String {
    let value = serde_json::to_value(spec)
        .expect("a spec holds strings, integers and lists, which all have a JSON form");
    digest(&value)
}

fn digest(value: &Value) -> String {
    hex(&Sha256::digest(canonical_json(value).as_bytes()))
}

/// Checks a plan that was stored or handed over: its version, its fingerprint against its content,
/// and the rules that make it executable.
///
/// # Errors
/// [`PlanError::Version`], [`PlanError::Fingerprint`] or [`PlanError::Broken`].
pub fn verify(plan: &ExecutionPlan) -> Result<(), PlanError> {
    check_version(plan.spec.plan_version.into())?;
    let found = fingerprint(&plan.spec);
    if found != plan.fingerprint {
        return Err(PlanError::Fingerprint {
            written: plan.fingerprint.clone(),
            found,
        });
    }
    plan.spec.check().map_err(PlanError::Broken)
}

/// Reads a plan document and verifies it.
///
/// The version is looked at first, so that a newer plan is called newer even where its shape is
/// not understood.
///
/// # Errors
/// [`PlanError::Unparsable`], and those of [`verify`].
pub fn parse(text: &str) -> Result<ExecutionPlan, PlanError> {
    read(text, check_version)
}

/// The same for a plan of any version: as much of it as this program understands. What it does not
/// know is under the fingerprint all the same, so a plan that was changed is always refused.
///
/// # Errors
/// [`PlanError::Unparsable`], [`PlanError::Fingerprint`] or [`PlanError::Broken`].
pub fn parse_any_version(text: &str) -> Result<ExecutionPlan, PlanError> {
    read(text, |_| Ok(()))
}

fn read(
    text: &str,
    check: impl FnOnce(u64) -> Result<(), PlanError>,
) -> Result<ExecutionPlan, PlanError> {
    let unparsable = |error: serde_json::Error| PlanError::Unparsable {
        why: error.to_string(),
    };
    let document: Value = serde_json::from_str(text).map_err(unparsable)?;
    let spec = &document["spec"];
    if let Some(version) = spec["plan_version"].as_u64() {
        check(version)?;
    }
    // Over the document rather than over what is understood of it: a field that is not ours, or has
    // become unreadable, is an edit too.
    if let (Some(written), true) = (document["fingerprint"].as_str(), spec.is_object()) {
        let found = digest(spec);
        if found != written {
            return Err(PlanError::Fingerprint {
                written: written.to_owned(),
                found,
            });
        }
    }
    let plan: ExecutionPlan = serde_json::from_value(document).map_err(unparsable)?;
    plan.spec.check().map_err(PlanError::Broken)?;
    Ok(plan)
}

fn check_version(version: u64) -> Result<(), PlanError> {
    if (1..=u64::from(PLAN_VERSION)).contains(&version) {
        return Ok(());
    }
    Err(PlanError::Version {
        version,
        known: PLAN_VERSION,
    })
}

fn write_value(text: &mut String, value: &Value) {
    match value {
        Value::Object(members) => {
            // Byte order of UTF-8 is code point order, which is Python's.
            let mut sorted: Vec<_> = members.iter().collect();
            sorted.sort_unstable_by_key(|(key, _)| key.as_str());
            text.push('{');
            for (index, (key, member)) in sorted.into_iter().enumerate() {
                separate(text, index);
                write_string(text, key);
                text.push(':');
                write_value(text, member);
            }
            text.push('}');
        }
        Value::Array(items) => {
            text.push('[');
            for (index, item) in items.iter().enumerate() {
                separate(text, index);
                write_value(text, item);
            }
            text.push(']');
        }
        Value::Number(number) if number.is_f64() => {
            write_float(text, number.as_f64().unwrap_or_default());
        }
        Value::String(string) => write_string(text, string),
        Value::Null | Value::Bool(_) | Value::Number(_) => text.push_str(&value.to_string()),
    }
}

fn separate(text: &mut String, index: usize) {
    if index > 0 {
        text.push(',');
    }
}

/// A JSON string. Both serde_json and Python keep non-ASCII and escape the same control characters.
fn write_string(text: &mut String, string: &str) {
    text.push_str(&Value::from(string).to_string());
}

/// A float, rounded to six decimals (ties to even), as Python's `repr` writes it: shortest digits
/// that read back equal, an exponent below 1e-4 and from 1e16 on. What is not finite becomes 0.0.
fn write_float(text: &mut String, value: f64) {
    let rounded: f64 = if value.is_finite() {
        // A fixed-point text of a finite float always reads back.
        format!("{value:.6}").parse().unwrap_or_default()
    } else {
        0.0
    };
    if rounded.is_sign_negative() {
        text.push('-');
    }
    let (digits, exponent) = shortest_digits(rounded.abs());
    match exponent {
        // 0.00ddd
        -4..0 => {
            text.push_str("0.");
            text.extend(std::iter::repeat_n(
                '0',
                exponent.unsigned_abs() as usize - 1,
            ));
            text.push_str(&digits);
        }
        // ddd00.0 or dd.ddd
        0..16 => {
            let whole = exponent.unsigned_abs() as usize + 1;
            let padded = format!("{digits:0<width$}", width = whole + 1);
            text.push_str(&padded[..whole]);
            text.push('.');
            text.push_str(&padded[whole..]);
        }
        // d.dde+XX
        _ => {
            let (first, rest) = digits.split_at(1);
            text.push_str(first);
            if !rest.is_empty() {
                text.push('.');
                text.push_str(rest);
            }
            let sign = if exponent < 0 { '-' } else { '+' };
            // Writing to a string cannot fail.
            let _ = write!(text, "e{sign}{:02}", exponent.abs());
        }
    }
}

/// The fewest digits that read back as the float, and the decimal exponent of the first.
///
/// Of two equally short and equally near texts Rust takes the upper and Python the even one; rounding
/// the exact value to that many digits is Python's.
fn shortest_digits(value: f64) -> (String, i32) {
    let shortest = format!("{value:e}");
    let count = shortest.bytes().take_while(|byte| *byte != b'e').count();
    let decimals = count.saturating_sub(2);
    let even = format!("{value:.decimals$e}");
    let chosen = if even.parse() == Ok(value) {
        even
    } else {
        shortest
    };
    let (digits, exponent) = chosen.split_once('e').unwrap_or((&chosen, "0"));
    // An exponent that Rust wrote always reads back.
    (
        digits.replace('.', ""),
        exponent.parse().unwrap_or_default(),
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::planner::fixtures;

    #[test]
    fn the_golden_fingerprint_holds() {
        let value =
            json!({"z": 1, "m": [3.0, 0.0, 0.000_000_1], "a": {"n": null, "k": 0.300_000_1}});
        let text = canonical_json(&value);
        assert_eq!(text, r#"{"a":{"k":0.3,"n":null},"m":[3.0,0.0,0.0],"z":1}"#);
        assert_eq!(
            hex(&Sha256::digest(text.as_bytes())),
            "373923dd8a702bc386bbd509e06e127e49601b5274cc87d2fd328804eb2f78e7"
        );
    }

    #[test]
    fn floats_are_written_as_python_writes_them() {
        let cases = [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (-1e-9, "-0.0"),
            (1.0, "1.0"),
            (0.1 + 0.2, "0.3"),
            (0.000_05, "5e-05"),
            (0.000_001, "1e-06"),
            (0.000_1, "0.0001"),
            (123_456.789_012_3, "123456.789012"),
            (0.25, "0.25"),
            (12.5, "12.5"),
            (1e15, "1000000000000000.0"),
            // Halfway between two texts of sixteen digits.
            (2_778_779_596_671_301.0 / 4.0, "694694899167825.2"),
            (-2_f64.powi(70), "-1.1805916207174113e+21"),
            (1e16, "1e+16"),
            (1e20, "1e+20"),
            (1.5e300, "1.5e+300"),
            (f64::INFINITY, "0.0"),
            (f64::NAN, "0.0"),
        ];
        for (value, want) in cases {
            let mut text = String::new();
            write_float(&mut text, value);
            assert_eq!(text, want);
        }
    }

    #[test]
    fn text_is_kept_and_control_characters_are_escaped() {
        let value = json!({"é": "żółw \u{1f422}", "a": "q\"\\\n\u{1}\u{7f}"});
        assert_eq!(
            canonical_json(&value),
            "{\"a\":\"q\\\"\\\\\\n\\u0001\u{7f}\",\"é\":\"żółw \u{1f422}\"}"
        );
    }

    #[test]
    fn a_plan_survives_its_document() {
        let plan = fixtures::plan(fixtures::profile(3_000_000));
        let text = serde_json::to_string_pretty(&plan).expect("a plan has a JSON form");
        assert_eq!(parse(&text).as_ref(), Ok(&plan));
    }

    #[test]
    fn an_edited_plan_is_found_out() {
        let mut plan = fixtures::plan(fixtures::profile(3_000_000));
        plan.spec.workers += 1;
        assert!(matches!(verify(&plan), Err(PlanError::Fingerprint { .. })));
    }

    #[test]
    fn a_plan_with_a_gap_is_refused_even_with_a_fitting_fingerprint() {
        let mut plan = fixtures::plan(fixtures::profile(3_000_000));
        plan.spec.chunks.remove(1);
        plan.fingerprint = fingerprint(&plan.spec);
        assert!(matches!(verify(&plan), Err(PlanError::Broken(_))));
    }

    #[test]
    fn a_newer_plan_is_called_newer_though_its_shape_is_unknown() {
        let newer = parse(r#"{"spec": {"plan_version": 2, "shape": "unknown"}}"#);
        assert_eq!(
            newer,
            Err(PlanError::Version {
                version: 2,
                known: 1
            })
        );
        assert!(matches!(parse("{"), Err(PlanError::Unparsable { .. })));
        assert!(matches!(parse("[1]"), Err(PlanError::Unparsable { .. })));
    }

    #[test]
    fn a_newer_plan_is_read_on_request_but_never_an_edited_one() {
        let mut plan = fixtures::plan(fixtures::profile(3_000_000));
        plan.spec.plan_version = 2;
        plan.fingerprint = fingerprint(&plan.spec);
        let mut document = serde_json::to_value(&plan).expect("a plan has a JSON form");
        assert!(matches!(
            parse(&document.to_string()),
            Err(PlanError::Version { version: 2, .. })
        ));
        assert_eq!(parse_any_version(&document.to_string()), Ok(plan));
        // What we do not know is under the fingerprint.
        document["spec"]["speed"] = json!("high");
        assert!(matches!(
            parse_any_version(&document.to_string()),
            Err(PlanError::Fingerprint { .. })
        ));
        document["fingerprint"] = json!(digest(&document["spec"]));
        let understood = parse_any_version(&document.to_string()).expect("a plan");
        assert_ne!(fingerprint(&understood.spec), understood.fingerprint);
    }

    #[test]
    fn a_field_that_became_unreadable_is_an_edit() {
        let plan = fixtures::plan(fixtures::profile(3_000_000));
        let mut document = serde_json::to_value(&plan).expect("a plan has a JSON form");
        document["spec"]["workers"] = json!("many");
        assert!(matches!(
            parse(&document.to_string()),
            Err(PlanError::Fingerprint { .. })
        ));
    }

    #[test]
    fn every_leaf_of_the_spec_is_in_the_fingerprint() {
        let plan = fixtures::plan(fixtures::profile(3_000_000));
        let value = serde_json::to_value(&plan.spec).expect("a spec has a JSON form");
        let text = canonical_json(&value);
        let mut leaves = 0;
        for_each_leaf(&value, &mut Vec::new(), &mut |path| {
            let mut changed = value.clone();
            *changed.pointer_mut(path).expect("the path leads to a leaf") = json!("changed");
            assert_ne!(canonical_json(&changed), text, "{path}");
            leaves += 1;
        });
        assert!(leaves > 60, "{leaves}");
    }

    fn for_each_leaf(value: &Value, path: &mut Vec<String>, visit: &mut dyn FnMut(&str)) {
        let members: Vec<(String, &Value)> = match value {
            Value::Object(members) => members.iter().map(|(k, v)| (k.clone(), v)).collect(),
            Value::Array(items) => {
                let numbered = items.iter().enumerate();
                numbered.map(|(i, v)| (i.to_string(), v)).collect()
            }
            _ => return visit(&format!("/{}", path.join("/"))),
        };
        for (name, member) in members {
            path.push(name);
            for_each_leaf(member, path, visit);
            path.pop();
        }
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 6, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                proptest::collection::btree_map(any::<String>(), inner, 0..6)
                    .prop_map(|members| members.into_iter().collect()),
            ]
        })
    }

    proptest! {
        #[test]
        fn canonical_text_is_json_and_canonical_again(value in any_json()) {
            let text = canonical_json(&value);
            let read: Value = serde_json::from_str(&text).expect("canonical text is JSON");
            prop_assert_eq!(canonical_json(&read), text);
        }
    }
}
