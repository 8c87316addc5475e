CREATE TYPE mood AS ENUM ('sad', 'happy');
CREATE TABLE orders (id bigint PRIMARY KEY, customer varchar(20) NOT NULL, total numeric(10,2), mood mood);
INSERT INTO orders SELECT i * 3, 'customer ' || (i % 17), i * 1.25, CASE WHEN i % 5 > 0 THEN 'happy'::mood END
    FROM generate_series(1, 1000) AS i;
ANALYZE orders
