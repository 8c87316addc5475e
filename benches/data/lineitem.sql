-- The table `lineitem` of TPC-H with a key of its own: 17 columns, ~120 bytes a row.
--
--     psql URL -v rows=6000000 -f benches/data/lineitem.sql
--
-- The same :rows give the same table everywhere: a value is a hash of the row's number. An order
-- has one to seven lines, dates follow each other, flags follow from the dates, as in TPC-H.
\set ON_ERROR_STOP on
SET client_min_messages = warning;
\if :{?rows} \else \set rows 1000000 \endif

DROP TABLE IF EXISTS lineitem;
CREATE TABLE lineitem (
    id              bigint        NOT NULL,
    l_orderkey      bigint        NOT NULL,
    l_partkey       bigint        NOT NULL,
    l_suppkey       bigint        NOT NULL,
    l_linenumber    integer       NOT NULL,
    l_quantity      numeric(15,2) NOT NULL,
    l_extendedprice numeric(15,2) NOT NULL,
    l_discount      numeric(15,2) NOT NULL,
    l_tax           numeric(15,2) NOT NULL,
    l_returnflag    char(1)       NOT NULL,
    l_linestatus    char(1)       NOT NULL,
    l_shipdate      date          NOT NULL,
    l_commitdate    date          NOT NULL,
    l_receiptdate   date          NOT NULL,
    l_shipinstruct  char(25)      NOT NULL,
    l_shipmode      char(10)      NOT NULL,
    l_comment       varchar(44)   NOT NULL
);

-- 28 rows are seven orders of 1 + 2 + … + 7 lines; of 32 order keys only eight are used.
-- `a` and `b` are independent non-negative 63-bit hashes; each column takes digits of its own.
INSERT INTO lineitem
SELECT
    id,
    (o / 8) * 32 + o % 8 + 1,
    part,
    (part + (a >> 18) % 4 * (scale.suppliers / 4 + 1)) % scale.suppliers + 1,
    line,
    quantity,
    quantity * (90000 + part / 10 % 20001 + 100 * (part % 1000)) * 0.01,
    (a >> 24) % 11 * 0.01,
    (a >> 28) % 9 * 0.01,
    CASE WHEN receipt > date '1995-06-17' THEN 'N' WHEN a & 1 = 0 THEN 'R' ELSE 'A' END,
    CASE WHEN ship > date '1995-06-17' THEN 'O' ELSE 'F' END,
    ship,
    ordered + 30 + ((a >> 32) % 61)::int,
    receipt,
    ('{DELIVER IN PERSON,COLLECT COD,NONE,TAKE BACK RETURN}'::text[])[1 + (a >> 38) % 4],
    ('{REG AIR,AIR,RAIL,SHIP,TRUCK,MAIL,FOB}'::text[])[1 + (a >> 40) % 7],
    left(
        words[1 + (b & 31)] || ' ' || words[1 + (b >> 5 & 31)] || ' '
            || words[1 + (b >> 10 & 31)] || ' ' || words[1 + (b >> 15 & 31)] || ' '
            || words[1 + (b >> 20 & 31)] || ' ' || words[1 + (b >> 25 & 31)],
        10 + ((b >> 32) % 34)::int)
FROM generate_series(1, :rows) AS id
CROSS JOIN (SELECT greatest(:rows / 30, 1) AS parts, greatest(:rows / 600, 1) AS suppliers) AS scale
CROSS JOIN (SELECT '{furiously,carefully,quickly,slyly,blithely,ironic,final,special,regular,
    express,bold,even,silent,pending,unusual,requests,deposits,packages,accounts,theodolites,
    instructions,foxes,pinto beans,platelets,asymptotes,sleep,wake,haggle,nag,cajole,above the,
    among}'::text[] AS words) AS text
CROSS JOIN LATERAL (SELECT
    hashint8extended(id, 1) & 9223372036854775807 AS a,
    hashint8extended(id, 2) & 9223372036854775807 AS b,
    (id - 1) % 28 AS place) AS h
CROSS JOIN LATERAL (SELECT floor((sqrt(8 * place + 1) - 1) / 2)::int AS nth) AS n
CROSS JOIN LATERAL (SELECT (id - 1) / 28 * 7 + nth AS o) AS orders
CROSS JOIN LATERAL (SELECT
    (place - nth * (nth + 1) / 2 + 1)::int AS line,
    a % scale.parts + 1 AS part,
    1 + (a >> 44) % 50 AS quantity,
    date '1992-01-01' + ((hashint8extended(o, 3) & 9223372036854775807) % 2405)::int AS ordered) AS v
CROSS JOIN LATERAL (SELECT ordered + 1 + ((a >> 50) % 121)::int AS ship) AS s
CROSS JOIN LATERAL (SELECT ship + 1 + ((a >> 57) % 30)::int AS receipt) AS r;

ALTER TABLE lineitem ADD PRIMARY KEY (id);
VACUUM (FREEZE, ANALYZE) lineitem;
