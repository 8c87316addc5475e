//! Names with wild characters: which relations of a catalogue several arguments mean. Pure matching,
//! no server.

use std::collections::BTreeSet;

use super::{Found, Known, Part, Reading, choose, fold, nearest, readings};
use crate::model::{Relation, RelationKind};
use crate::source::{Result, SourceError};

/// A relation of the user's, as a catalogue lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its name.
    pub relation: Relation,
    /// What it is.
    pub kind: RelationKind,
    /// Where its schema stands among those that names without one are looked up in.
    pub place: Option<usize>,
    /// What it is a partition of, directly and further up.
    pub parents: Vec<Relation>,
}

/// All relations of the user's: none of the system's own, of extensions or of other sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Catalogue {
    /// The database, for errors.
    pub database: String,
    /// The signs that make a part of a name literal, opening and closing.
    pub quotes: &'static [(char, char)],
    /// The relations.
    pub relations: Vec<Listed>,
}

/// Whether a name has a wild character outside of quotes, given the signs of any server.
pub fn is_wild(text: &str) -> bool {
    const QUOTES: &[(char, char)] = &[('"', '"'), ('`', '`'), ('[', ']')];
    readings(text, QUOTES).iter().any(Reading::is_wild)
}

impl Reading {
    fn is_wild(&self) -> bool {
        let schema = self.schema.as_ref();
        self.name.is_wild() || schema.is_some_and(Part::is_wild)
    }

    /// Whether a listed relation is one that this reading means; without a schema only where names
    /// without one are looked up.
    fn covers(&self, listed: &Listed, folded: bool) -> bool {
        let schema = match &self.schema {
            Some(schema) => schema.covers(&listed.relation.schema, folded),
            None => listed.place.is_some(),
        };
        schema && self.name.covers(&listed.relation.name, folded)
    }
}

impl Part {
    fn is_wild(&self) -> bool {
        !self.quoted && self.text.contains(['*', '?'])
    }

    fn covers(&self, name: &str, folded: bool) -> bool {
        if !self.is_wild() {
            return self.fits(name, folded);
        }
        if folded {
            fits(&fold(&self.text), &fold(name))
        } else {
            fits(&self.text, name)
        }
    }
}

/// Whether a name fits a pattern: `*` stands for any characters, `?` for one.
fn fits(pattern: &str, name: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let name: Vec<char> = name.chars().collect();
    let (mut at, mut from) = (0, 0);
    // Where the last `*` stands, and how far what it stands for reaches by now.
    let mut star: Option<(usize, usize)> = None;
    while from < name.len() {
        match pattern.get(at) {
            Some('*') => {
                star = Some((at, from));
                at += 1;
            }
            Some(c) if *c == '?' || *c == name[from] => {
                at += 1;
                from += 1;
            }
            _ => match &mut star {
                Some((place, reach)) => {
                    *reach += 1;
                    (at, from) = (*place + 1, *reach);
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|c| *c == '*')
}

impl Catalogue {
    /// What `wanted` means but for `excluded`, in the order of the arguments and then by name; as
    /// something to describe. A name that is no pattern and not listed stays as it is written.
    ///
    /// # Errors
    /// [`SourceError::TableMissing`] for a pattern, or an exclusion, that fits nothing.
    pub fn expand(&self, wanted: &[String], excluded: &[String]) -> Result<Vec<Meant>> {
        let mut without = BTreeSet::new();
        for text in excluded {
            let found = self.fitting(text);
            if found.is_empty() {
                return Err(self.missing(text));
            }
            without.extend(found.into_iter().map(|listed| &listed.relation));
        }
        let mut meant = Vec::new();
        let mut matched: Vec<&Listed> = Vec::new();
        for text in wanted {
            let found = self.fitting(text);
            if found.is_empty() && is_wild(text) {
                return Err(self.missing(text));
            }
            if found.is_empty() {
                meant.push(Meant::Written(text.clone()));
            }
            matched.extend(
                found
                    .iter()
                    .filter(|of| !is_wild(text) || is_stored(of, &found)),
            );
        }
        let all: BTreeSet<&Relation> = matched.iter().map(|of| &of.relation).collect();
        let mut taken = BTreeSet::new();
        for listed in matched {
            // A partition is in its parent, and goes with it.
            let covered = |of: &Relation| all.contains(of) || without.contains(of);
            let kept = !without.contains(&listed.relation) && !listed.parents.iter().any(covered);
            if kept && taken.insert(&listed.relation) {
                meant.push(Meant::Relation(listed.relation.clone()));
            }
        }
        Ok(meant)
    }

    /// The relations that one argument fits: the first reading that fits any, by exact case or else
    /// by folding it. A name that some relation has to the letter is no pattern.
    fn fitting(&self, text: &str) -> Vec<&Listed> {
        let readings = readings(text, self.quotes);
        if let Some(named) = self.named(text, &readings) {
            return vec![named];
        }
        for reading in readings.iter().filter(|reading| reading.is_wild()) {
            for folded in [false, true] {
                let all = self.relations.iter();
                let found: Vec<&Listed> = all.filter(|of| reading.covers(of, folded)).collect();
                if !found.is_empty() {
                    return found;
                }
            }
        }
        Vec::new()
    }

    /// The one relation that a text is the name of.
    fn named(&self, text: &str, readings: &[Reading]) -> Option<&Listed> {
        let known: Vec<Known> = self
            .relations
            .iter()
            .map(|of| Known {
                relation: of.relation.clone(),
                place: of.place,
            })
            .collect();
        let Found::One(relation) = choose(readings, &known) else {
            return None;
        };
        let exact = [relation.name.clone(), relation.to_string()];
        let literal = !is_wild(text) || exact.iter().any(|name| name == text);
        let mut all = self.relations.iter();
        all.find(|of| of.relation == relation && literal)
    }

    fn missing(&self, text: &str) -> SourceError {
        let all = self.relations.iter().map(|of| &of.relation);
        let candidates: Vec<(String, String)> = all
            .flat_map(|relation| {
                let (shown, everything) = (relation.to_string(), format!("{}.*", relation.schema));
                [
                    (everything.clone(), everything),
                    (relation.name.clone(), shown.clone()),
                    (shown.clone(), shown),
                ]
            })
            .collect();
        let pairs = candidates.iter();
        let pairs = pairs.map(|(name, shown)| (name.as_str(), shown.as_str()));
        SourceError::NoTableFits {
            pattern: text.to_owned(),
            source_name: self.database.clone(),
            near: nearest(text, pairs),
        }
    }
}

/// Whether a relation has rows of its own. Others fit a pattern only where it fits nothing else: views
/// show what tables hold.
fn is_stored(listed: &Listed, found: &[&Listed]) -> bool {
    let stored = |of: &Listed| {
        matches!(
            of.kind,
            RelationKind::Table | RelationKind::Partitioned | RelationKind::MaterializedView
        )
    };
    stored(listed) || !found.iter().any(|of| stored(of))
}

/// What an argument means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Meant {
    /// This relation.
    Relation(Relation),
    /// A name that no listed relation has: the source itself says what it is, or that it is nothing.
    Written(String),
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn listed(name: &str, kind: RelationKind) -> Listed {
        let (schema, name) = name.split_once('.').expect("schema.name");
        Listed {
            relation: Relation {
                schema: schema.to_owned(),
                name: name.to_owned(),
            },
            kind,
            place: (schema == "public").then_some(0),
            parents: Vec::new(),
        }
    }

    fn catalogue(names: &[&str]) -> Catalogue {
        let names = names.iter();
        Catalogue {
            database: "db".to_owned(),
            quotes: &[('"', '"')],
            relations: names
                .map(|name| listed(name, RelationKind::Table))
                .collect(),
        }
    }

    fn expanded(catalogue: &Catalogue, wanted: &[&str], excluded: &[&str]) -> Vec<String> {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        let wanted: Vec<String> = owned(wanted);
        let excluded: Vec<String> = owned(excluded);
        let meant = catalogue
            .expand(&wanted, &excluded)
            .expect("something fits");
        let shown = meant.into_iter().map(|meant| match meant {
            Meant::Relation(relation) => relation.to_string(),
            Meant::Written(text) => format!("as written: {text}"),
        });
        shown.collect()
    }

    #[test]
    fn patterns_mean_what_a_shell_would() {
        let all = catalogue(&[
            "public.orders",
            "public.order_lines",
            "sales.orders",
            "sales.x",
        ]);
        assert_eq!(
            expanded(&all, &["order*"], &[]),
            ["public.orders", "public.order_lines"]
        );
        assert_eq!(
            expanded(&all, &["*.orders"], &[]),
            ["public.orders", "sales.orders"]
        );
        assert_eq!(expanded(&all, &["sales.?"], &[]), ["sales.x"]);
        assert_eq!(
            expanded(&all, &["sales.x", "public.*"], &["*.order?"]),
            ["sales.x", "public.order_lines"]
        );
        assert_eq!(
            expanded(&all, &["*", "public.orders"], &["order_lines"]),
            ["public.orders"]
        );
        assert_eq!(expanded(&all, &["pg_class"], &[]), ["as written: pg_class"]);
    }

    #[test]
    fn exact_case_comes_first_and_quotes_make_literal() {
        let all = catalogue(&[
            "public.Orders",
            "public.orders",
            "public.we*rd",
            "public.weird",
        ]);
        assert_eq!(expanded(&all, &["Order*"], &[]), ["public.Orders"]);
        assert_eq!(
            expanded(&all, &["ORDER*"], &[]),
            ["public.Orders", "public.orders"]
        );
        assert_eq!(expanded(&all, &["\"we*rd\""], &[]), ["public.we*rd"]);
        assert_eq!(expanded(&all, &["we*rd"], &[]), ["public.we*rd"]);
        assert_eq!(
            expanded(&all, &["we?rd"], &[]),
            ["public.we*rd", "public.weird"]
        );
        assert_eq!(expanded(&all, &["public.\"we*rd\""], &[]), ["public.we*rd"]);
        assert_eq!(
            expanded(&all, &["\"public\".we*d"], &[]),
            ["public.we*rd", "public.weird"]
        );
    }

    #[test]
    fn what_fits_nothing_names_what_is_near() {
        let all = catalogue(&["public.orders", "sales.x"]);
        for (wanted, excluded, near) in [
            (["pubic.*"], None, "public.*"),
            (["*"], Some("ordrs"), "public.orders"),
        ] {
            let wanted = wanted.map(str::to_owned);
            let excluded: Vec<String> = excluded.into_iter().map(str::to_owned).collect();
            match all.expand(&wanted, &excluded) {
                Err(SourceError::NoTableFits { near: found, .. }) => {
                    assert_eq!(found.first().map(String::as_str), Some(near));
                }
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn partitions_go_with_their_parent_and_views_are_taken_only_by_themselves() {
        let mut all = catalogue(&["public.e", "public.e_1", "public.t"]);
        let parent = all.relations[0].relation.clone();
        all.relations[1].parents.push(parent);
        all.relations.push(listed("public.v_t", RelationKind::View));
        assert_eq!(expanded(&all, &["*"], &[]), ["public.e", "public.t"]);
        assert_eq!(expanded(&all, &["*"], &["e"]), ["public.t"]);
        assert_eq!(expanded(&all, &["e_*"], &[]), ["public.e_1"]);
        assert_eq!(expanded(&all, &["e", "e_1"], &[]), ["public.e"]);
        assert_eq!(expanded(&all, &["v_*"], &[]), ["public.v_t"]);
        assert_eq!(
            expanded(&all, &["t", "v_t"], &[]),
            ["public.t", "public.v_t"]
        );
    }

    /// The definition of a pattern, by trying everything.
    fn fits_by_definition(pattern: &[char], name: &[char]) -> bool {
        match (pattern.split_first(), name.split_first()) {
            (None, _) => name.is_empty(),
            (Some(('*', rest)), _) => {
                (0..=name.len()).any(|taken| fits_by_definition(rest, &name[taken..]))
            }
            (Some((c, rest)), Some((first, after))) => {
                (*c == '?' || c == first) && fits_by_definition(rest, after)
            }
            (Some(_), None) => false,
        }
    }

    proptest! {
        #[test]
        fn the_matcher_is_the_definition(pattern in "[ab*?é]{0,8}", name in "[abé*]{0,8}") {
            let chars = |text: &str| text.chars().collect::<Vec<_>>();
            prop_assert_eq!(
                fits(&pattern, &name),
                fits_by_definition(&chars(&pattern), &chars(&name))
            );
        }

        #[test]
        fn a_quoted_name_means_itself_alone(name in "[a-c*?.]{1,5}", other in "[a-c*?.]{1,5}") {
            prop_assume!(name != other);
            let all = catalogue(&[&format!("public.{name}"), &format!("public.{other}")]);
            let quoted = format!("public.\"{name}\"");
            prop_assert_eq!(expanded(&all, &[&quoted], &[]), [format!("public.{name}")]);
        }

        #[test]
        fn nothing_is_taken_twice_nor_though_excluded(
            names in proptest::collection::btree_set("[ab]{1,4}", 1..6),
            wanted in proptest::collection::vec("[ab*?]{1,4}", 1..4),
            excluded in "[ab*?]{1,3}",
        ) {
            let full: Vec<String> = names.iter().map(|name| format!("public.{name}")).collect();
            let all = catalogue(&full.iter().map(String::as_str).collect::<Vec<_>>());
            let Ok(meant) = all.expand(&wanted, std::slice::from_ref(&excluded)) else {
                return Ok(());
            };
            let out: Vec<Relation> = all.fitting(&excluded).iter().map(|of| of.relation.clone()).collect();
            let mut seen = BTreeSet::new();
            for meant in meant {
                if let Meant::Relation(relation) = meant {
                    prop_assert!(!out.contains(&relation));
                    prop_assert!(seen.insert(relation));
                }
            }
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,20}") {
            let all = catalogue(&["public.a", "b.c"]);
            let _ = all.expand(std::slice::from_ref(&text), &[]);
            is_wild(&text);
        }
    }
}
