-- The table `accounts`: narrow rows of ~40 bytes, where the cost of a row outweighs its bytes.
--
--     psql URL -v rows=6000000 -f benches/data/accounts.sql
--
-- The same :rows give the same table everywhere: a value is a hash of the row's number.
\set ON_ERROR_STOP on
SET client_min_messages = warning;
\if :{?rows} \else \set rows 1000000 \endif

DROP TABLE IF EXISTS accounts;
CREATE TABLE accounts (
    id      bigint        NOT NULL,
    branch  integer       NOT NULL,
    balance bigint        NOT NULL,
    credit  numeric(12,2) NOT NULL,
    filler  text          NOT NULL
);

INSERT INTO accounts
SELECT id, id % 100 + 1, h % 10000000 - 5000000, (h >> 24) % 1000000 * 0.01, 'acct-' || (h >> 50)
FROM generate_series(1, :rows) AS id
CROSS JOIN LATERAL (SELECT hashint8extended(id, 1) & 9223372036854775807 AS h) AS hash;

ALTER TABLE accounts ADD PRIMARY KEY (id);
VACUUM (FREEZE, ANALYZE) accounts;
