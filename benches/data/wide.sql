-- The table `wide`: 60 columns, where the cost of a column outweighs everything else.
--
--     psql URL -v rows=500000 -f benches/data/wide.sql
--
-- The same :rows give the same table everywhere: a value is a hash of the row's number.
\set ON_ERROR_STOP on
SET client_min_messages = warning;
\if :{?rows} \else \set rows 500000 \endif

DROP TABLE IF EXISTS wide;

-- An id and 59 columns that go through these types in turn, every tenth value NULL. `$` is the
-- column's own hash of the row.
SELECT format(
    'CREATE TABLE wide AS SELECT id, %s FROM generate_series(1, %s::bigint) AS id',
    string_agg(format(
        '(CASE WHEN %1$s %% 10 <> 0 THEN %2$s END)::%3$s AS c%4$s',
        hash, replace(value, '$', hash), type, to_char(nth, 'FM00')), ', ' ORDER BY nth),
    :rows)
FROM generate_series(1, 59) AS nth
CROSS JOIN LATERAL (SELECT format('(hashint8extended(id, %s) & 2147483647)', nth) AS hash) AS h
JOIN (VALUES
    (0, 'integer', '$'),
    (1, 'bigint', '$ * 4294967296'),
    (2, 'numeric(12,2)', '$ % 100000000 * 0.01'),
    (3, 'text', '''label '' || $ % 1000'),
    (4, 'double precision', '$ % 1000000 / 1e3::float8'),
    (5, 'boolean', '$ % 20 < 10'),
    (6, 'date', 'date ''2000-01-01'' + ($ % 9000)::int'),
    (7, 'timestamp', 'timestamp ''2000-01-01'' + $ * interval ''1 second''')
) AS types (turn, type, value) ON turn = nth % 8
\gexec

ALTER TABLE wide ADD PRIMARY KEY (id);
VACUUM (FREEZE, ANALYZE) wide;
