SELECT 'a;b'
%%
SELECT "a;b"
%%
SELECT 'it''s; fine', "say ""hi;"""
%%
SELECT 'it\'s; fine', "say \"hi;\""
%%
SELECT 'a\\', ';', "b\\"
%%
SELECT 'it"s;', "it's;"
%%
SELECT '\0\b\n\r\t\Z\%\_\x;'
%%
SELECT 'a' ' b;' "c;"
%%
SELECT N'a;', n'b\';', _utf8mb4'c;', _latin1 X'4D', _binary 'd;'
%%
SELECT X'3B', x'3b', 0x3B, b'1011', B'0', 0b01
%%
SELECT 1 AS `a;b`, 2 AS `c``d;`, 3 AS `e\\`
%%
SELECT 1 AS `'`, ';' AS '`', 2 AS "`;"
%%
SELECT 1 # ; ' " `
 + 2
%%
SELECT 1 -- ; ' " `
 + 2
%%
SELECT 1 --	;
 + 2
%%
SELECT 1--1
%%
SELECT 5--+1
%%
SELECT /* ; ' " ` */ 1 /* // */
%%
SELECT /*/ ; */ 1
%%
SELECT /**/ 1
%%
SELECT 1 /* a; /* b; */ + 2
%%
SELECT /*! 1 + */ 2
%%
SELECT /*!50001 1 + */ 2 /*M!100100 + 3 */
%%
SELECT /*!99999 no such thing */ 2
%%
SELECT /*!50001 ';' */ AS a
%%
SELECT /*!50001 1 /* b */ + */ 2
%%
/*!40101 SET NAMES utf8mb4 */
%%
/*!40101 SET @OLD_SQL_MODE=@@SQL_MODE, SQL_MODE='NO_AUTO_VALUE_ON_ZERO' */
%%
# leading;
SELECT 1
%%
--
SELECT 1
%%
SELECT \N, ';'
%%
SELECT 1e5, 1.5e-3, .5, 5., 1E+2, 0.1
%%
SELECT a$b, c1, `1d` FROM (SELECT 1 AS a$b, 2 AS c1, 3 AS `1d`) AS t1$
%%
SELECT 1a.2b FROM (SELECT 1 AS 2b) AS 1a
%%
SELECT @a, @`b;c`, @'d;e', @"f;g", @@session.sql_mode, @@GLOBAL.max_connections, @h.i$j
%%
SELECT @a := 1, @b:=';'
%%
SELECT 1 <=> NULL, 2 != 3, 4 <> 5, 6 << 7, 8 >> 1, ~9, !0, 1 && 2, 3 || 4, 5 % 2, 7 DIV 2, 7 MOD 2, 1 XOR 0
%%
SELECT JSON_EXTRACT('{"a;": 1}', '$."a;"'), JSON_OBJECT('k;', ';')
%%
SELECT CASE WHEN 1 THEN ';' ELSE 'end' END AS `end;`
%%
SELECT IF(1, ';', 'b'), REPEAT('a;', 3), INSERT('Quadratic', 3, 4, ';'), LEFT('a;', 1)
%%
SELECT end.begin FROM (SELECT 1 AS begin) AS end
%%
SELECT ';' LIKE '%;%' ESCAPE '|', ';' REGEXP '^;$', 'a' RLIKE ';', ';' SOUNDS LIKE ';'
%%
SELECT DATE '2020-01-01', TIMESTAMP '2020-01-01 00:00:00', {d '2020-01-01'}, INTERVAL 1 DAY + '2020-01-01'
%%
SELECT 'a' COLLATE utf8mb4_bin, BINARY ';', CAST(';' AS CHAR(5) CHARACTER SET utf8mb4), CONVERT(';' USING latin1)
%%
(SELECT 1) UNION ALL (SELECT 2 ORDER BY 1 LIMIT 1) LIMIT 1
%%
VALUES (1, ';'), (2, 'b')
%%
SELECT 'ä;ß', `ü;é` FROM (SELECT 1 AS `ü;é`) AS ñ
%%
SELECT 1/2, 1 /2, 4/ /* ; */ 2
