SELECT 'a;b'
%%
SELECT 'it''s; fine'
%%
SELECT 'a\', ';'
%%
SELECT 'a''\''', ';'
%%
SELECT x'3B', X'53514C697465'
%%
SELECT 1 AS "a;b", 2 AS "c""d;"
%%
SELECT 1 AS `a;b`, 2 AS `c``d;`
%%
SELECT 1 AS [a;b], 2 AS [c[d]
%%
SELECT 1 AS [';], ';' AS "'"
%%
SELECT 1 AS 'a;', 'b' AS "c"
%%
SELECT "d;", [d;], `d;`, t."d;" FROM t
%%
SELECT 1 -- ; ' " ` [
 + 2
%%
SELECT 1 --;
%%
SELECT /* ; ' " ` [ */ 1
%%
SELECT /* a /* b; */ 1
%%
SELECT /*/ ; */ 1
%%
SELECT /**/ 1
%%
-- leading; '
SELECT 1
%%
/* leading; ' */ SELECT 1
%%
SELECT 1--1
%%
SELECT 1 - -1, 2-1, ~1, 1 << 2, 3 | 4, 5 & 6, 7 % 2, 'a' || ';'
%%
SELECT 1e5, 1.5e-3, .5, 5., 1E+2, 0x1F, 9223372036854775807
%%
SELECT $a, :b, @c, ?1, ?, $d::e, $f::g(h;i), ';'
%%
SELECT a$b FROM (SELECT 1 AS a$b)
%%
SELECT 'ä;ß' AS é, "ü;é" FROM (SELECT 1 AS "ü;é")
%%
SELECT CASE WHEN 1 THEN ';' ELSE 'end' END AS "end;"
%%
SELECT 1 IS NOT NULL, 1 == 1, 2 <> 3, 4 != 5, 1 IS DISTINCT FROM 2
%%
SELECT ';' LIKE '%;%' ESCAPE '\', ';' GLOB '*;*', ';' IN (';', 'a')
%%
SELECT '{"a;":1}' -> '$."a;"', '{"a":";"}' ->> '$.a', json_extract('{"a":1}', '$.a')
%%
SELECT CAST(';' AS TEXT) COLLATE NOCASE, typeof(';'), quote(';')
%%
VALUES (1, ';'), (2, 'b')
%%
SELECT begin, "end" FROM (SELECT 1 AS begin, 2 AS "end")
%%
SELECT trigger FROM (SELECT ';' AS trigger)
%%
SELECT CURRENT_TIMESTAMP, date('now', '+1 day', 'start of month'), strftime('%s;', 'now')
%%
SELECT max(1, 2), count(*), sum(a) FILTER (WHERE b > ';') FROM t
%%
SELECT main.t.a, "main"."t"."a" FROM main.t
%%
SELECT 1 /* unterminated is closed here */
%%
SELECT (1), ((2)), (SELECT ';')
%%
SELECT TRUE, FALSE, NULL, not 1, +5
