//! Money under other locales: the digits after the point are those of the currency.

use crate::ixtract::Cli;
use crate::published::extract;
use crate::readers::{self, Engine};
use crate::servers::postgres;

#[test]
fn money_has_as_many_digits_as_its_locale_gives_it() {
    for (locale, digits, least) in [
        ("C", 2, "-92233720368547758.08"),
        ("de_DE.UTF-8", 2, "-92233720368547758.08"),
        ("ja_JP.UTF-8", 0, "-9223372036854775808"),
        ("ar_KW.UTF-8", 3, "-9223372036854775.808"),
    ] {
        let (database, cli) = (postgres().fresh_database(), Cli::new());
        let name = database.name();
        database.exec(&format!(
            "ALTER DATABASE {name} SET lc_monetary = '{locale}'"
        ));
        database.exec(&format!(
            "CREATE TABLE t (id int PRIMARY KEY, one money, many money[]);
             INSERT INTO t SELECT i, (i * 1.255)::numeric::money, ARRAY[i::money, NULL]
                 FROM generate_series(-40, 40) AS i;
             INSERT INTO t VALUES (100, '{least}'::numeric::money, '{{}}'), (101, NULL, NULL)"
        ));
        let flags = ["--workers", "3", "--chunk-rows", "7", "--chunking", "key"];
        let run = extract(&cli, &database.url(), "public.t", "out", &flags);
        let expected = database.query_text(
            "SELECT id, one::numeric::text, array_to_json(many::numeric[]::text[])::text FROM t
             ORDER BY id",
        );
        for engine in [Engine::Pyarrow, Engine::DuckDb] {
            assert_eq!(run.rows(engine, &["id"]), expected, "{locale}, {engine:?}");
        }
        assert_eq!(expected[81][1].as_deref(), Some(least), "{locale}");
        let schema = readers::schema(Engine::Pyarrow, &run.dataset);
        assert_eq!(
            schema[1].kind,
            format!("decimal128(19, {digits})"),
            "{locale}"
        );
    }
}
