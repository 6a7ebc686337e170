INSERT INTO t (a, b) VALUES (10, 'a;'), (11, 'b')
%%
INSERT INTO t DEFAULT VALUES
%%
INSERT OR REPLACE INTO t (a, b) VALUES (1, ';')
%%
INSERT OR IGNORE INTO main.t AS x (a) VALUES (1)
%%
INSERT INTO t (a, b) VALUES (1, ';') ON CONFLICT (a) DO UPDATE SET b = excluded.b || ';' WHERE t.c IS NULL RETURNING *
%%
INSERT INTO t (a) VALUES (1) ON CONFLICT DO NOTHING
%%
INSERT INTO u SELECT a, b || ';' FROM t WHERE true ON CONFLICT DO NOTHING
%%
REPLACE INTO t (a, b) VALUES (1, ';')
%%
UPDATE t SET b = ';', c = c + 1 WHERE a = 1
%%
UPDATE OR IGNORE t SET (b, c) = (SELECT ';', 2)
%%
UPDATE t SET b = u.b FROM u WHERE u.a = t.a AND u.b <> ';'
%%
UPDATE main.t INDEXED BY i SET c = 1 WHERE b = ';' RETURNING a, b
%%
DELETE FROM t WHERE b = ';'
%%
DELETE FROM u NOT INDEXED WHERE a IN (SELECT a FROM t)
%%
DELETE FROM u
%%
WITH x AS (SELECT ';' AS y) INSERT INTO u (b) SELECT y FROM x
%%
WITH x (y) AS MATERIALIZED (VALUES (1)) DELETE FROM u WHERE a IN (SELECT y FROM x)
%%
WITH RECURSIVE c(n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM c WHERE n < 5) SELECT group_concat(n, ';') FROM c
%%
WITH update_me AS (SELECT 1) UPDATE t SET c = 2
%%
SELECT DISTINCT a, b FROM t WHERE b > ';' GROUP BY a HAVING count(*) > 0 ORDER BY b DESC NULLS LAST LIMIT 1 OFFSET 2
%%
SELECT ALL * FROM t NATURAL LEFT OUTER JOIN u
%%
SELECT * FROM t CROSS JOIN u USING (a)
%%
SELECT * FROM t AS x, (SELECT ';' AS z) AS y JOIN u ON u.a = x.a
%%
SELECT 1 UNION SELECT 2 UNION ALL SELECT 3 EXCEPT SELECT 4 INTERSECT SELECT 5
%%
SELECT row_number() OVER (PARTITION BY b ORDER BY c ROWS BETWEEN 1 PRECEDING AND CURRENT ROW EXCLUDE TIES) FROM t
%%
SELECT sum(a) OVER w FROM t WINDOW w AS (ORDER BY b)
%%
SELECT * FROM pragma_table_info('t')
%%
SELECT EXISTS (SELECT 1 FROM t), (SELECT max(a) FROM t), a BETWEEN 1 AND 2 FROM t
%%
SELECT * FROM json_each('[1,";"]')
%%
SELECT * FROM t WHERE (a, b) IN (VALUES (1, ';'))
%%
SELECT a FROM t WHERE b ISNULL OR c NOTNULL
%%
SELECT * FROM v
%%
SELECT rowid, _rowid_, oid FROM t
%%
SELECT iif(1, ';', 'b'), coalesce(NULL, ';'), printf('%s;', 'a'), replace('a;b', ';', ','), instr('a;', ';')
%%
SELECT 'a' AS "select", 'b' AS [from]
%%
EXPLAIN SELECT ';'
%%
EXPLAIN QUERY PLAN SELECT * FROM t WHERE b = ';'
%%
BEGIN
%%
BEGIN IMMEDIATE TRANSACTION
%%
BEGIN EXCLUSIVE
%%
SAVEPOINT "s;"
%%
SELECT sqlite_version(), changes(), last_insert_rowid(), random() IS NOT NULL
%%
SELECT substr('a;b', 2, 1), trim(';x;', ';'), upper(';'), hex(';'), char(59), unicode(';'), length(';')
%%
SELECT total(a), avg(a), min(b), group_concat(b, ';') FROM t
%%
SELECT nth_value(a, 1) OVER (ORDER BY a RANGE UNBOUNDED PRECEDING) FROM t
%%
SELECT a FROM t ORDER BY 1, b COLLATE BINARY ASC, c + 1 DESC
%%
SELECT like('%;', 'a;'), glob('*;', 'a;')
%%
SELECT * FROM main.sqlite_schema WHERE type = 'table' AND name <> ';'
%%
SELECT * FROM t LEFT JOIN u ON t.a = u.a AND u.b = ';' WHERE u.a IS NULL
%%
SELECT * FROM (t JOIN u ON t.a = u.a)
%%
SELECT CASE a WHEN 1 THEN CASE b WHEN ';' THEN 'end' END ELSE 'END;' END FROM t
%%
INSERT INTO v2 VALUES (5, ';')
%%
UPDATE v2 SET b = ';'
%%
DELETE FROM v2
%%
INSERT INTO "w x" ("y;z") VALUES (';')
%%
INSERT INTO [w x] VALUES ('[;]')
%%
SELECT `y;z` FROM `w x`
%%
SELECT "y;z", 'y;z', [y;z] FROM "w x" WHERE "y;z" = 'y;z'
%%
SELECT 1; 
%%
SELECT 2 ; ;
%%
;; SELECT 3
