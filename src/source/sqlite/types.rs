//! How a declared type becomes an output type, by SQLite's own rules of affinity.

use crate::model::FieldType;

/// How a column's stored values are decoded; [`Storage::name`] is the column's `base_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Storage {
    /// Integers only.
    Integer,
    /// Reals, and integers that convert exactly.
    Real,
    /// Text only.
    Text,
    /// Blobs only.
    Blob,
    /// The exact text of a number or text.
    Exact,
}

impl Storage {
    const ALL: [Self; 5] = [
        Self::Integer,
        Self::Real,
        Self::Text,
        Self::Blob,
        Self::Exact,
    ];

    /// The decoder's name, kept in the plan.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Integer => "integer",
            Self::Real => "real",
            Self::Text => "text",
            Self::Blob => "blob",
            Self::Exact => "exact text",
        }
    }

    /// The decoder of that name.
    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|storage| storage.name() == name)
    }

    /// The output type of what it decodes.
    pub(super) fn field(self) -> FieldType {
        match self {
            Self::Integer => FieldType::Int64,
            Self::Real => FieldType::Float64,
            Self::Text | Self::Exact => FieldType::Utf8,
            Self::Blob => FieldType::Binary,
        }
    }

    /// Whether what it holds can be written as an output type: each value checked, or near to it with
    /// `lossy`.
    pub(super) fn can_be(self, field: &FieldType, lossy: bool) -> bool {
        use FieldType as F;
        let number = field.is_number();
        match (self, field) {
            _ if *field == self.field() => true,
            (_, F::List(_)) => false,
            (Self::Blob, _) => *field == F::Uuid,
            (_, F::Utf8) => true,
            // Blobs that a column of numbers holds, and its numbers as their text.
            (Self::Integer | Self::Real, F::Binary) => true,
            (Self::Integer | Self::Real, _) => number,
            // Hardly a decimal is a double: that is for the user to allow.
            (Self::Text, F::Float32 | F::Float64) => lossy,
            (Self::Text | Self::Exact, _) => true,
        }
    }

    /// What a declared type asks for: <https://www.sqlite.org/datatype3.html>, section 3.1, whose
    /// order of rules matters (`FLOATING POINT` has INTEGER affinity, by the `INT` in `POINT`).
    pub(super) fn of_declared(declared: &str) -> Self {
        let declared = declared.to_ascii_uppercase();
        let has = |part: &str| declared.contains(part);
        if has("INT") {
            Self::Integer
        } else if has("CHAR") || has("CLOB") || has("TEXT") {
            Self::Text
        } else if has("BLOB") {
            Self::Blob
        } else if has("REAL") || has("FLOA") || has("DOUB") {
            Self::Real
        } else {
            // No type at all, or NUMERIC affinity: DECIMAL, BOOLEAN, DATE, … The stored value says
            // more than any one Arrow type could.
            Self::Exact
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn declared_types_follow_the_rules_of_affinity() {
        for (declared, storage) in [
            ("INTEGER", Storage::Integer),
            ("unsigned big int", Storage::Integer),
            ("FLOATING POINT", Storage::Integer),
            ("CHARINT", Storage::Integer),
            ("VARCHAR(30)", Storage::Text),
            ("CLOB", Storage::Text),
            ("TEXT", Storage::Text),
            ("BLOB", Storage::Blob),
            ("REAL", Storage::Real),
            ("DOUBLE PRECISION", Storage::Real),
            ("FLOAT", Storage::Real),
            ("", Storage::Exact),
            ("NUMERIC", Storage::Exact),
            ("DECIMAL(10,2)", Storage::Exact),
            ("BOOLEAN", Storage::Exact),
            ("DATE", Storage::Exact),
            ("DATETIME", Storage::Exact),
            ("ANY", Storage::Exact),
            ("STRING", Storage::Exact),
        ] {
            assert_eq!(Storage::of_declared(declared), storage, "{declared}");
        }
    }

    #[test]
    fn what_is_stored_decides_what_it_can_be() {
        let can = |storage: Storage, field: &str, lossy| {
            storage.can_be(&field.parse().expect("a type"), lossy)
        };
        assert!(can(Storage::Integer, "bool", false) && can(Storage::Real, "decimal(9,2)", false));
        assert!(can(Storage::Exact, "date", false) && can(Storage::Text, "json", false));
        assert!(can(Storage::Exact, "float64", false) && can(Storage::Blob, "uuid", false));
        assert!(!can(Storage::Text, "float64", false) && can(Storage::Text, "float64", true));
        assert!(!can(Storage::Integer, "date", true) && !can(Storage::Blob, "text", true));
        assert!(!can(Storage::Exact, "list(text)", true));
    }

    #[test]
    fn names_lead_back() {
        for storage in Storage::ALL {
            assert_eq!(Storage::named(storage.name()), Some(storage));
        }
        assert_eq!(Storage::named("numeric"), None);
    }
}
