//! The keys of a configuration file: the flags of `run`, each under its own name.
//!
//! They are read off clap's definition, so that a flag and its key have one meaning, and a new flag is a
//! key without anybody's doing. [`NOT_KEYS`] has the few flags that are none, with the reason.

use std::any::TypeId;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::ValueParser;
use clap::error::{ContextKind, ContextValue};
use clap::{Arg, ArgAction, Command};

use crate::cli::args::ColumnNames;

/// Flags that no file may hold, by clap's name, and why.
pub(super) const NOT_KEYS: [(&str, &str); 13] = [
    ("config", "a file does not say which file counts"),
    ("no_config", "a file does not say which file counts"),
    ("profile", "a profile is chosen when a command is started"),
    ("json", "how the program talks is said when it is started"),
    ("quiet", "how the program talks is said when it is started"),
    (
        "verbose",
        "how the program talks is said when it is started",
    ),
    ("plan", "it is about one run"),
    ("resume", "it is about one run"),
    ("discard", "it is about one run"),
    ("from", "it is about one window"),
    ("until", "it is about one window"),
    ("name", "a query is called as its table's entry is"),
    (
        "password_command",
        "secrets come by password_env or password_file: a file that is found must not start programs",
    ),
];

/// Flags with which somebody agrees to something: no keys either.
pub(super) const CONSENT: [&str; 2] = ["force", "yes"];

/// Flags that say which database is meant and as whom: keys of `[sources.NAME]` only.
const PLACE: [&str; 12] = [
    "source_type",
    "host",
    "port",
    "database",
    "user",
    "password_file",
    "password_env",
    "tls",
    "tls_ca",
    "tls_cert",
    "tls_key",
    "source_name",
];

/// Keys that are called otherwise in `[sources.NAME]` than their flags are, with clap's name.
const RENAMED: [(&str, &str); 2] = [("url", "source"), ("type", "source_type")];

/// What kind of table a key stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Section {
    /// `[sources.NAME]`
    Source,
    /// `[defaults]`, `[profiles.NAME]`
    Defaults,
    /// `[tables.NAME]`, `[[tables]]`
    Table,
}

/// What a key's value may be in TOML.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Takes {
    /// `true` or `false`: the flag or its absence.
    Switch,
    /// A whole number.
    Whole,
    /// A whole number, or text with a unit.
    Size,
    /// A number, with a fraction or without.
    Number,
    /// Text.
    Text,
    /// The path of a file; a relative one begins where the configuration is.
    Path,
    /// Texts.
    List,
    /// Names of columns.
    Names,
    /// Texts by name, the first part of the flag's `NAME=TEXT`.
    Map,
}

impl Takes {
    /// The kinds in words.
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Switch => "true or false",
            Self::Whole => "a whole number",
            Self::Size => "a whole number, or text with a unit such as \"64MB\"",
            Self::Number => "a number",
            Self::Text => "text in quotes",
            Self::Path => "a path in quotes",
            Self::List => "a list of texts, such as [\"a\", \"b\"]",
            Self::Names => "a list of names, such as [\"id\", \"total\"]",
            Self::Map => "a table, such as { name = \"text\" }",
        }
    }
}

/// One key.
#[derive(Clone, Debug)]
pub(super) struct Key {
    /// clap's name for the flag.
    pub(super) id: String,
    /// The flag without its dashes.
    pub(super) long: String,
    /// What its value may be.
    pub(super) takes: Takes,
    parser: ValueParser,
}

impl Key {
    fn of(arg: &Arg) -> Option<Self> {
        let mut key = Self {
            id: arg.get_id().to_string(),
            long: arg.get_long()?.to_owned(),
            takes: Takes::Text,
            parser: arg.get_value_parser().clone(),
        };
        key.takes = key.kind(arg);
        Some(key)
    }

    fn kind(&self, arg: &Arg) -> Takes {
        let is = |id: TypeId| self.parser.type_id() == id;
        let accepts = |text| self.check(text).is_ok();
        let whole = [
            TypeId::of::<u16>(),
            TypeId::of::<u32>(),
            TypeId::of::<u64>(),
            TypeId::of::<i64>(),
        ];
        let named = arg.get_value_names().unwrap_or_default();
        match arg.get_action() {
            ArgAction::SetTrue => Takes::Switch,
            ArgAction::Append if is(TypeId::of::<ColumnNames>()) => Takes::Names,
            ArgAction::Append if named.iter().any(|name| name.contains('=')) => Takes::Map,
            ArgAction::Append => Takes::List,
            _ if is(TypeId::of::<PathBuf>()) => Takes::Path,
            // A time wants its unit, in a file even more than at a prompt.
            _ if is(TypeId::of::<Duration>()) => Takes::Text,
            _ if whole.into_iter().any(is) => match (accepts("4"), accepts("4MB")) {
                (true, true) => Takes::Size,
                (true, false) => Takes::Whole,
                _ => Takes::Text,
            },
            _ if is(TypeId::of::<f64>()) || arg.is_allow_negative_numbers_set() => Takes::Number,
            _ => Takes::Text,
        }
    }

    /// Whether the flag would take this text.
    ///
    /// # Errors
    /// What clap, or the flag's own parser, has against it.
    pub(super) fn check(&self, text: &str) -> Result<(), String> {
        let flag = Arg::new("value")
            .long("value")
            .action(ArgAction::Set)
            .value_parser(self.parser.clone());
        let tried = Command::new("ixtract")
            .no_binary_name(true)
            .arg(flag)
            .try_get_matches_from([format!("--value={text}")]);
        tried.map(|_| ()).map_err(|error| objection(&error))
    }
}

/// What is wrong with a value, without the flag that clap tried it with.
fn objection(error: &clap::Error) -> String {
    if let Some(source) = std::error::Error::source(error) {
        return source.to_string();
    }
    match error.get(ContextKind::ValidValue) {
        Some(ContextValue::Strings(known)) if !known.is_empty() => {
            format!("known are {}", known.join(", "))
        }
        _ => "it is empty".to_owned(),
    }
}

/// Every key by its name, for each kind of table.
#[derive(Debug, Default)]
pub(super) struct Keys {
    by_section: [BTreeMap<String, Key>; 3],
}

impl Keys {
    /// The keys that the flags of `run` are.
    pub(super) fn of(run: &Command) -> Self {
        let mut keys = Self {
            by_section: Default::default(),
        };
        for arg in run.get_arguments() {
            let id = arg.get_id().as_str();
            let Some(key) = Key::of(arg).filter(|key| !is_no_key(&key.id)) else {
                continue;
            };
            let of_source = arg.get_help_heading() == Some("Source");
            if of_source {
                let renamed = RENAMED.iter().find(|(_, flag)| *flag == id);
                let name = renamed.map_or(id.to_owned(), |(name, _)| (*name).to_owned());
                keys.by_section[Section::Source as usize].insert(name, key.clone());
            }
            if !PLACE.contains(&id) {
                let name = key.long.replace('-', "_");
                keys.by_section[Section::Table as usize].insert(name.clone(), key.clone());
                if id != "query" {
                    keys.by_section[Section::Defaults as usize].insert(name, key);
                }
            }
        }
        keys
    }

    /// A key by its name.
    pub(super) fn get(&self, section: Section, name: &str) -> Option<&Key> {
        self.by_section[section as usize].get(name)
    }

    /// The names that a table of this kind may hold.
    pub(super) fn names(&self, section: Section) -> impl Iterator<Item = &str> {
        self.by_section[section as usize].keys().map(String::as_str)
    }

    /// Why a name is no key of such a table although it is one elsewhere, or a flag.
    pub(super) fn elsewhere(&self, section: Section, name: &str) -> Option<String> {
        if CONSENT.contains(&name) {
            return Some("nobody agrees in advance: pass it as a flag".to_owned());
        }
        if let Some((_, why)) = NOT_KEYS.iter().find(|(id, _)| *id == name) {
            return Some((*why).to_owned());
        }
        let place = |section| match section {
            Section::Source => "[sources.NAME]",
            Section::Defaults => "[defaults] or [tables.NAME]",
            Section::Table => "[tables.NAME]",
        };
        [Section::Source, Section::Defaults, Section::Table]
            .into_iter()
            .filter(|other| *other != section)
            .find(|other| self.get(*other, name).is_some())
            .map(|other| format!("it belongs into {}", place(other)))
    }
}

fn is_no_key(id: &str) -> bool {
    ["help", "version"].contains(&id)
        || CONSENT.contains(&id)
        || NOT_KEYS.iter().any(|(flag, _)| *flag == id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::args::Cli;
    use clap::CommandFactory;

    fn run() -> Command {
        let mut command = Cli::command();
        command.build();
        command.find_subcommand("run").expect("run").clone()
    }

    #[test]
    fn every_flag_of_run_is_a_key_or_is_not_for_a_reason() {
        let run = run();
        let keys = Keys::of(&run);
        let known: Vec<&str> = keys
            .by_section
            .iter()
            .flat_map(|keys| keys.values().map(|key| key.id.as_str()))
            .collect();
        let mut excluded = Vec::new();
        for arg in run.get_arguments().filter(|arg| arg.get_long().is_some()) {
            let id = arg.get_id().as_str();
            if ["help", "version"].contains(&id) {
                continue;
            }
            match is_no_key(id) {
                true => excluded.push(id.to_owned()),
                false => assert!(known.contains(&id), "--{id} is no key"),
            }
        }
        // And every reason is still about a flag.
        assert_eq!(
            excluded.len(),
            NOT_KEYS.len() + CONSENT.len(),
            "{excluded:?}"
        );
    }

    #[test]
    fn a_keys_kind_follows_from_its_flag() {
        let keys = Keys::of(&run());
        for (section, name, takes) in [
            (Section::Defaults, "workers", Takes::Whole),
            (Section::Defaults, "row_group_bytes", Takes::Size),
            (Section::Defaults, "no_explore", Takes::Switch),
            (Section::Defaults, "max_memory_mb", Takes::Number),
            (Section::Defaults, "compute_rate", Takes::Number),
            (Section::Defaults, "wait", Takes::Text),
            (Section::Defaults, "state", Takes::Path),
            (Section::Table, "lag", Takes::Text),
            (Section::Table, "where", Takes::Text),
            (Section::Table, "columns", Takes::Names),
            (Section::Table, "type", Takes::Map),
            (Section::Table, "param", Takes::Map),
            (Section::Table, "on_unrepresentable", Takes::Map),
            (Section::Source, "type", Takes::Text),
            (Section::Source, "port", Takes::Whole),
            (Section::Source, "url", Takes::Text),
            (Section::Source, "lock_wait_s", Takes::Whole),
        ] {
            let key = keys.get(section, name).unwrap_or_else(|| panic!("{name}"));
            assert_eq!(key.takes, takes, "{name}");
        }
        assert!(keys.get(Section::Defaults, "query").is_none());
        assert!(keys.get(Section::Table, "host").is_none());
    }

    #[test]
    fn what_a_flag_would_refuse_is_refused() {
        let keys = Keys::of(&run());
        let check = |name, text| keys.get(Section::Defaults, name).expect(name).check(text);
        assert_eq!(check("workers", "4"), Ok(()));
        assert_eq!(check("workers", "0"), Err("0 is not in 1..=64".to_owned()));
        assert_eq!(
            check("format", "csw"),
            Err("formats are parquet and csv".to_owned())
        );
        assert_eq!(
            check("proof", "x"),
            Err("known are full, count, stream".to_owned())
        );
    }
}
