INSERT INTO films VALUES ('UA502', 'Bananas;', 105, DEFAULT)
%%
INSERT INTO films (code, title) SELECT code, title FROM tmp WHERE x < ';' ON CONFLICT (code) DO UPDATE SET title = EXCLUDED.title || ';' WHERE films.x IS NULL RETURNING *
%%
INSERT INTO t DEFAULT VALUES
%%
INSERT INTO t AS u OVERRIDING SYSTEM VALUE VALUES (1), (2) ON CONFLICT ON CONSTRAINT c DO NOTHING
%%
WITH upd AS (UPDATE e SET s = s + 1 WHERE id = 1 RETURNING *) INSERT INTO log SELECT *, current_timestamp FROM upd
%%
WITH RECURSIVE t(n) AS (VALUES (1) UNION ALL SELECT n+1 FROM t WHERE n < 100) SELECT sum(n) FROM t
%%
WITH w AS NOT MATERIALIZED (SELECT * FROM big_table) SELECT * FROM w AS w1 JOIN w AS w2 ON w1.key = w2.ref
%%
UPDATE employees SET (a, b) = (SELECT 1, ';'), c[1] = 5 FROM accounts WHERE accounts.name = ';' AND employees.id = accounts.e
%%
UPDATE films SET kind = 'Dramatic;' WHERE CURRENT OF c_films
%%
DELETE FROM ONLY films USING producers WHERE producer_id = producers.id AND producers.name = 'foo;' RETURNING films.*
%%
MERGE INTO customer_account ca USING (SELECT 1 AS id, 2 AS v) AS t ON t.id = ca.id WHEN MATCHED AND v > 0 THEN UPDATE SET balance = balance + v WHEN NOT MATCHED THEN INSERT (id, balance) VALUES (t.id, t.v)
%%
SELECT DISTINCT ON (a) a, count(*) FILTER (WHERE b > 0) OVER w FROM t WINDOW w AS (PARTITION BY a ORDER BY b ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)
%%
SELECT a INTO TEMP u FROM t
%%
SELECT * FROM t TABLESAMPLE SYSTEM (5) REPEATABLE (1), LATERAL (SELECT t.a) x, ROWS FROM (generate_series(1, 2), unnest(ARRAY[';'])) WITH ORDINALITY
%%
SELECT a, b FROM t GROUP BY GROUPING SETS ((a), (b), ()), CUBE (a), ROLLUP (b) HAVING sum(c) > 1 ORDER BY 1 FETCH FIRST 2 ROWS WITH TIES
%%
COPY (SELECT * FROM country WHERE name LIKE 'A%;') TO '/tmp/a_list_countries.copy' WITH (FORMAT csv, DELIMITER ';')
%%
COPY country FROM '/tmp/x' (FORMAT text, NULL '\N')
%%
COPY country FROM PROGRAM 'gunzip -c x; echo'
%%
DO $$DECLARE r record;
BEGIN
    FOR r IN SELECT 1 LOOP
        EXECUTE 'GRANT ALL; ' || quote_ident('a');
    END LOOP;
END$$
%%
DO LANGUAGE plpgsql 'BEGIN PERFORM 1; END;'
%%
CALL do_db_maintenance(';', 5)
%%
EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) SELECT ';'
%%
PREPARE fooplan (int, text) AS INSERT INTO foo VALUES ($1, $2 || ';')
%%
EXECUTE fooplan(1, 'Hunter Valley;')
%%
DEALLOCATE ALL
%%
DECLARE liahona CURSOR WITH HOLD FOR SELECT ';'
%%
FETCH FORWARD 5 FROM liahona
%%
SET search_path TO my_schema, "a;", public
%%
SET LOCAL TIME ZONE 'Europe/Rome;'
%%
SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE
%%
RESET timezone
%%
SHOW ALL
%%
LOCK TABLE films IN SHARE ROW EXCLUSIVE MODE NOWAIT
%%
NOTIFY virtual, 'payload;'
%%
LISTEN virtual
%%
BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY
%%
COMMIT AND CHAIN
%%
ROLLBACK TO SAVEPOINT my_savepoint
%%
PREPARE TRANSACTION 'foobar;'
%%
SELECT set_config('search_path', ';', false)
%%
LOAD 'x;'
%%
DISCARD ALL
%%
CHECKPOINT
%%
SELECT xmlforest('a;' AS "b;"), XMLPARSE(CONTENT '<a>;</a>'), xmlserialize(content '<a/>' as text)
%%
SELECT (';'::text COLLATE "C") < 'a', ';' IS DISTINCT FROM NULL, (now() AT TIME ZONE 'UTC')
