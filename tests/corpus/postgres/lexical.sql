SELECT 'a;b'
%%
SELECT 'it''s; fine'
%%
SELECT 'a\', ';'
%%
SELECT E'\';', e'\\', E'a''b;', E'\x41;\u00e9'
%%
SELECT 'foo'
'bar;'
%%
SELECT E'a'
  'b\';'
%%
SELECT U&'d\0061t\+000061;', U&'d!0061;' UESCAPE '!'
%%
SELECT 1 AS U&"d\0061;t", 2 AS "a;""b"
%%
SELECT B'1001', X'1FF', b'1', x'ab'
%%
SELECT $$a;b$$
%%
SELECT $tag$ $$ ; $other$ ; $tag$
%%
SELECT $é$;$é$
%%
SELECT $1::int, ';$1'
%%
SELECT 1 /* a; /* nested; */ b; */ + 2
%%
SELECT 1 -- ;
  + 2
%%
SELECT 1 --; ' " $$
%%
/* leading; */ SELECT 1
%%
SELECT 3 OPERATOR(pg_catalog.+) 4
%%
SELECT 2 != 3
%%
SELECT @ -5, 8 # 3, ~1, 1 << 4, |/ 25.0, 'a' || ';'
%%
SELECT '{"a;": 1}'::jsonb -> 'a;', '{"a": [1]}'::jsonb #>> '{a,0}', '{"a":1}'::jsonb ? 'a'
%%
SELECT (ARRAY[1,2,3])[1:2], ARRAY[[1],[2]], '{";"}'::text[]
%%
SELECT CAST(';' AS text), ';'::varchar(5), date '2020-01-01', interval '1' day
%%
SELECT 1.5e3, .5, 5., 1e-10, 0.1E+5
%%
SELECT a$b FROM (SELECT 1 AS a$b) AS t$$
%%
SELECT "select" FROM (SELECT 1 AS "select") AS "table"
%%
SELECT (x.y).z, (ROW(1, ';')).* FROM x
%%
SELECT CASE WHEN true THEN ';' ELSE 'end' END AS "end;"
%%
VALUES (1, 'one;'), (2, 'two')
%%
TABLE pg_settings
%%
(SELECT 1) UNION ALL (SELECT 2 ORDER BY 1) LIMIT 1
%%
SELECT N'national;'
%%
SELECT 1 AS begin, 2 AS atomic, 3 AS commit
%%
SELECT position(';' IN 'a;b'), substring('a;b' FROM 2 FOR 1), trim(both ';' from ';x;'), extract(epoch from now())
%%
SELECT ';' LIKE '%;%' ESCAPE '\', ';' SIMILAR TO '(;|,)', ';' ~ '^;$'
