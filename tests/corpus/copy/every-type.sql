-- The table whose rows the corpus holds, as PostgreSQL's own COPY … (FORMAT binary) writes them.
CREATE TYPE mood AS ENUM ('sad', 'happy');
CREATE TABLE every_type (
    id bigint PRIMARY KEY, small smallint, whole int, truth bool, wide float8, narrow float4,
    amount numeric(20,4), digits numeric, word text, short varchar(10), padded char(4), at_day date,
    local timestamp, instant timestamptz, clock time, span interval, uid uuid, bytes bytea, doc jsonb,
    feeling mood, price money, numbers int[], words text[], prices numeric(10,2)[], days date[]);
INSERT INTO every_type VALUES
    (1, -32768, 2147483647, true, 'NaN', '-0', 1234567890.1234, 'NaN', 'häß "x", y', '', 'ab',
     '0044-03-15 BC', '1999-12-31 23:59:59.999999', '2026-11-24 12:00:00+05:45', '23:59:59.999999',
     '1 year 2 days 03:04:05', '00112233-4455-6677-8899-aabbccddeeff', '\x00ff', '{"a": [1, null]}',
     'happy', 12.34, '{1,NULL,-3}', '{"a,b",NULL,""}', '{1.25,-0.01}', '{2026-01-01}'),
    (9223372036854775807, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
     NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
    (-5, 0, 0, false, 1e308, 1e-45, -0.0001, 0.000000000000000000001, repeat('x', 300), 'ten chars!',
     '', '9999-12-31', '0001-01-01', '1970-01-01 00:00:00Z', '00:00', '-1 mon', gen_random_uuid(),
     '', 'null', 'sad', -0.01, '{}', '{}', '{}', '{}');
