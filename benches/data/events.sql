-- The table `events`: what applications log. A key with gaps, a few users who do most of it,
-- UUIDs, documents, instants, and NULLs in a third of the optional columns.
--
--     psql URL -v rows=3000000 -f benches/data/events.sql
--
-- The same :rows give the same table everywhere: a value is a hash of the row's number.
\set ON_ERROR_STOP on
SET client_min_messages = warning;
-- An instant's text would else depend on where the script runs.
SET TimeZone = 'UTC';
\if :{?rows} \else \set rows 1000000 \endif

DROP TABLE IF EXISTS events;
CREATE TABLE events (
    event_id   bigint           NOT NULL,
    user_id    bigint           NOT NULL,
    session    uuid             NOT NULL,
    kind       text             NOT NULL,
    at         timestamptz      NOT NULL,
    received   timestamptz,
    duration   double precision,
    amount     numeric(18,4),
    referrer   text,
    is_mobile  boolean,
    payload    jsonb
);

-- The cube of a uniform share is skewed: half of the events are of an eighth of the users, a tenth
-- of one in a thousand.
INSERT INTO events
SELECT
    n + n / 1000 * 5000,
    1 + floor(share ^ 3 * (:rows / 20 + 1))::bigint,
    md5((n / 12)::text)::uuid,
    ('{view,click,scroll,view,search,view,purchase,login}'::text[])[1 + (a >> 20 & 7)],
    at,
    CASE WHEN a >> 23 & 3 > 0 THEN at + (b & 65535) * interval '1 millisecond' END,
    CASE WHEN a >> 25 & 3 > 0 THEN (b >> 16 & 16777215) / 1e4::float8 END,
    CASE WHEN a >> 20 & 7 = 6 THEN (b >> 20) % 10000000 * 0.0001 END,
    CASE WHEN a >> 27 & 1 = 0 THEN 'https://example.com/' || (b >> 30) % 5000 || '?page=' || (b & 7) END,
    CASE WHEN a >> 28 & 7 > 0 THEN a >> 31 & 1 = 0 END,
    CASE WHEN a >> 32 & 3 > 0 THEN jsonb_build_object(
        'path', '/items/' || (b >> 12) % 20000, 'ms', b >> 40 & 4095,
        'tags', jsonb_build_array('a' || (b & 15), 'é')) END
FROM generate_series(1, :rows) AS n
CROSS JOIN LATERAL (SELECT
    hashint8extended(n, 1) & 9223372036854775807 AS a,
    hashint8extended(n, 2) & 9223372036854775807 AS b,
    timestamptz '2024-01-01 00:00:00+00' + n * interval '173 milliseconds' AS at) AS h
CROSS JOIN LATERAL (SELECT (a & 1048575) / 1048576.0::float8 AS share) AS s;

ALTER TABLE events ADD PRIMARY KEY (event_id);
VACUUM (FREEZE, ANALYZE) events;
