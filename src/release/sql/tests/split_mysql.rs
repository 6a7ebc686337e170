//! Where the statements of `MySQL` and `MariaDB` end.

use super::{assert_refused, assert_splits, assert_whole, texts};
use crate::release::Dialect::Mysql;
use crate::release::sql::{SqlModes, split_in};

#[test]
fn statements_end_at_semicolons_and_empty_ones_are_dropped() {
    assert_splits(
        Mysql,
        &[
            ("", &[]),
            (" \n\t\r\x0b\x0c;; ;", &[]),
            ("-- nothing", &[]),
            ("--", &[]),
            ("--\n# nothing\n/* at all */;", &[]),
            ("--directly\nSELECT 1", &["SELECT 1"]),
            ("SELECT 1;--directly\nSELECT 2", &["SELECT 1", "SELECT 2"]),
            ("SELECT 1;SELECT 2;", &["SELECT 1", "SELECT 2"]),
            ("# a;\nSELECT 1; # b;\nSELECT 2 # c", &["SELECT 1", "SELECT 2"]),
            ("-- a;\nSELECT 1; -- b;\nSELECT 2 --", &["SELECT 1", "SELECT 2"]),
            ("/* a; /* b */ SELECT 1", &["SELECT 1"]),
            ("SELECT 'ä;ß', `ü;`;SELECT \"é;\"", &["SELECT 'ä;ß', `ü;`", "SELECT \"é;\""]),
            ("BEGIN; SELECT 1; COMMIT;", &["BEGIN", "SELECT 1", "COMMIT"]),
            ("BEGIN WORK; SELECT 1", &["BEGIN WORK", "SELECT 1"]),
        ],
    );
}

#[test]
fn a_semicolon_within_quotes_and_comments_ends_nothing() {
    assert_whole(
        Mysql,
        &[
            "SELECT ';'",
            "SELECT 'it''s; fine'",
            "SELECT 'it\\'s; fine'",
            "SELECT 'a\\\\', ';'",
            "SELECT \"a\\\";\"",
            "SELECT \"a\"\"b;\"",
            "SELECT \"it's; fine\", ';'",
            "SELECT '\"', ';'",
            "SELECT 'a' 'b;' \"c;\"",
            "SELECT N'a;', _utf8mb4'b\\';', x'3B', 0x3B, b'1'",
            "SELECT `a;``b;` FROM `c\\`",
            "SELECT `'`, ';'",
            "SELECT @`a;b`, @'c;', @\"d;\", @@global.sort_buffer_size",
            "SELECT 1 -- ; '\n + 2",
            "SELECT 1 # ; '\n + 2",
            "SELECT 1--1, ';'",
            "SELECT 5 --\t;\n + 1",
            "SELECT /* ; ' */ 1",
            "SELECT /*+ MAX_EXECUTION_TIME(1000) ; */ 1",
            "SELECT /*/ ; */ 1",
            "SELECT '/*', ';', '*/'",
            "SELECT '#', ';', '-- '",
            "SELECT \\N, ';'",
            "SELECT a$b, 1a, t.1b, 1e5, .5, 1.5e-3, ';'",
            "SELECT JSON_EXTRACT(a, '$.b;'), a->'$.c;', a->>'$.d;'",
            "INSERT INTO t VALUES ('a\\0\\n\\r\\Z\\%\\_;')",
        ],
    );
}

#[test]
fn a_delimiter_line_changes_what_ends_a_statement() {
    assert_splits(
        Mysql,
        &[
            ("DELIMITER //\nSELECT 1//\nSELECT 2 //\nDELIMITER ;\nSELECT 3;", &["SELECT 1", "SELECT 2", "SELECT 3"]),
            ("delimiter $$\nSELECT 1$$\nSELECT a$b$$", &["SELECT 1", "SELECT a$b"]),
            ("DELIMITER ;;\nSELECT 1;;\nSELECT 2;\n;;\nDELIMITER ;", &["SELECT 1", "SELECT 2"]),
            ("DELIMITER |\nSELECT 1 | -- a\nSELECT '|'|", &["SELECT 1", "SELECT '|'"]),
            ("DELIMITER END_OF\nSELECT 1 END_OF SELECT xEND_OF", &["SELECT 1", "SELECT x"]),
            ("DELIMITER // -- why\nSELECT 1 /* // */ + 2//", &["SELECT 1 /* // */ + 2"]),
            ("DELIMITER /\nSELECT 1/SELECT 2", &["SELECT 1", "SELECT 2"]),
            ("DELIMITER //\nSELECT 1", &["SELECT 1"]),
            ("DELIMITER //\nSELECT 1;\n", &["SELECT 1"]),
            ("DELIMITER //", &[]),
            (
                "DELIMITER $$\nCREATE PROCEDURE p()\nBEGIN\n  SELECT 1;\nEND$$\nCREATE TRIGGER g BEFORE INSERT ON t FOR EACH ROW \
                 BEGIN SET NEW.a = 1; END; $$\nDELIMITER ;\nCALL p();",
                &[
                    "CREATE PROCEDURE p()\nBEGIN\n  SELECT 1;\nEND",
                    "CREATE TRIGGER g BEFORE INSERT ON t FOR EACH ROW BEGIN SET NEW.a = 1; END",
                    "CALL p()",
                ],
            ),
            (
                "CREATE TABLE t (a int,\n  delimiter varchar(9)\n); SELECT\n delimiter FROM t",
                &["CREATE TABLE t (a int,\n  delimiter varchar(9)\n)", "SELECT\n delimiter FROM t"],
            ),
        ],
    );
    assert_refused(
        Mysql,
        &[
            ("SELECT 1;\nDELIMITER\nSELECT 2", 2, "no delimiter"),
            ("DELIMITER \\\\\nSELECT 2", 1, "backslash"),
            ("DELIMITER '//'\nSELECT 2", 1, "quote"),
            ("DELIMITER END_OF_STATEMENT\nSELECT 1", 1, "longer"),
            ("DELIMITER // SELECT 1//", 1, "more than"),
            ("SELECT 1\nDELIMITER //\nSELECT 2//", 2, "has not been ended"),
            ("DELIMITER //\nSELECT 1;\nSELECT 2//", 3, "second statement"),
            ("DELIMITER //\nCREATE PROCEDURE p() BEGIN SELECT 1; // END//", 2, "body"),
            ("DELIMITER //\nSELECT (1 // 2)", 2, "parenthesis"),
        ],
    );
}

#[test]
fn a_body_is_part_of_its_statement_without_a_delimiter_line_too() {
    assert_whole(
        Mysql,
        &[
            "CREATE PROCEDURE p() BEGIN SELECT 1; SELECT 2; END",
            "CREATE OR REPLACE PROCEDURE p() BEGIN END",
            "CREATE DEFINER = 'root'@'%' PROCEDURE IF NOT EXISTS p(IN a INT, OUT b ENUM('x;','y')) COMMENT ';' BEGIN SELECT 1; END",
            "CREATE DEFINER=CURRENT_USER() FUNCTION f(a INT) RETURNS SET('a','b') CHARACTER SET utf8mb4 DETERMINISTIC BEGIN RETURN 'a'; END",
            "CREATE DEFINER=root@localhost TRIGGER g AFTER UPDATE ON t FOR EACH ROW FOLLOWS h BEGIN SET @a = 1; END",
            "CREATE TRIGGER begin AFTER UPDATE ON t FOR EACH ROW BEGIN SET @a = 1; END",
            "CREATE TRIGGER g AFTER UPDATE ON t FOR EACH ROW IF NEW.a THEN SET @a = 1; ELSEIF NEW.b THEN SET @a = 2; ELSE SET @a = 3; END IF",
            "CREATE EVENT e ON SCHEDULE EVERY 1 DAY DO BEGIN DELETE FROM t; END",
            "ALTER EVENT e ON SCHEDULE EVERY 2 DAY DO BEGIN DELETE FROM t; DELETE FROM u; END",
            "CREATE FUNCTION f(a INT) RETURNS INT RETURN CASE WHEN a > 0 THEN IF(a, 1, 2) END",
            "CREATE FUNCTION f RETURNS STRING SONAME 'f.so'",
            "CREATE AGGREGATE FUNCTION f(a INT) RETURNS INT BEGIN DECLARE CONTINUE HANDLER FOR NOT FOUND RETURN 1; LOOP FETCH GROUP NEXT ROW; END LOOP; END",
            "CREATE PROCEDURE p() BEGIN IF a THEN BEGIN SELECT 1; END; END IF; END",
            "CREATE PROCEDURE p() BEGIN SELECT IF(a, 1, 2), REPEAT('a', 3), t.end, @begin FROM t; DROP TABLE IF EXISTS u; END",
            "CREATE PROCEDURE p() BEGIN CASE a WHEN 1 THEN SELECT CASE b WHEN 2 THEN 3 END; ELSE BEGIN END; END CASE; SELECT 1; END",
            "CREATE PROCEDURE p() BEGIN WHILE i < 3 DO SET i = i + 1; DO SLEEP(0); END WHILE; SELECT 1; END",
            "CREATE PROCEDURE p() BEGIN REPEAT SET i = i + 1; UNTIL i > CASE WHEN 1 THEN 3 END END REPEAT; SELECT 1; END",
            "CREATE PROCEDURE p() BEGIN l: LOOP IF a THEN LEAVE l; END IF; ITERATE l; END LOOP l; SELECT 1; END",
            "CREATE PROCEDURE p() outer_block: BEGIN SELECT 1; END outer_block",
            "CREATE PROCEDURE p() BEGIN FOR i IN 1..10 DO SELECT i; END FOR; SELECT 1; END",
            "CREATE PROCEDURE p() BEGIN FOR r IN (SELECT a FROM t) DO SELECT r.a; END FOR; SELECT 1; END",
            "CREATE PROCEDURE p() BEGIN DECLARE c CURSOR FOR SELECT 1; DECLARE EXIT HANDLER FOR SQLEXCEPTION, SQLSTATE VALUE '23000', 1062 BEGIN ROLLBACK; END; OPEN c; FETCH c INTO a; CLOSE c; END",
            "CREATE PROCEDURE p() BEGIN DECLARE EXIT HANDLER FOR SQLWARNING IF a THEN SELECT 1; END IF; SELECT 2; END",
            "CREATE PROCEDURE p() BEGIN DECLARE EXIT HANDLER FOR NOT FOUND SET a = CASE WHEN 1 THEN 2 END; SELECT 2; END",
            "CREATE PROCEDURE p() BEGIN SELECT ' END;', `end`, \"END;\"; /* END; */ -- END;\n# END;\nSELECT 1; END",
            "CREATE PROCEDURE p() BEGIN START TRANSACTION; INSERT INTO t VALUES (1); COMMIT; END",
            "CREATE PROCEDURE p() SELECT begin FROM t",
            "CREATE PROCEDURE begin() BEGIN SELECT 1; END",
            "CREATE PROCEDURE p() BEGIN NOT ATOMIC SELECT 1; END",
            "BEGIN NOT ATOMIC DECLARE a INT; SELECT 1; END",
            "IF @a THEN SELECT 1; ELSE SELECT 2; END IF",
            "FOR i IN 1..2 DO SELECT i; END FOR",
        ],
    );
}

#[test]
fn a_comment_that_some_servers_execute_is_part_of_its_statement() {
    assert_splits(
        Mysql,
        &[
            ("/*!40101 SET NAMES utf8 */;\nSELECT 1;", &["/*!40101 SET NAMES utf8 */", "SELECT 1"]),
            ("SELECT 1 /*! + 1 */;/*M!100100 SELECT 2 */", &["SELECT 1 /*! + 1 */", "/*M!100100 SELECT 2 */"]),
            ("/*! */; /*!50001 */ ; SELECT 1", &["SELECT 1"]),
            ("SELECT /*!50001 'a;' /* b; */ */ 1; SELECT 2", &["SELECT /*!50001 'a;' /* b; */ */ 1", "SELECT 2"]),
            (
                "DELIMITER ;;\n/*!50003 CREATE*/ /*!50017 DEFINER=`root`@`%`*/ /*!50003 TRIGGER g BEFORE INSERT ON t FOR EACH ROW \
                 BEGIN SET @a = 1; END */;;\nDELIMITER ;",
                &[
                    "/*!50003 CREATE*/ /*!50017 DEFINER=`root`@`%`*/ /*!50003 TRIGGER g BEFORE INSERT ON t FOR EACH ROW \
                   BEGIN SET @a = 1; END */",
                ],
            ),
        ],
    );
    assert_refused(
        Mysql,
        &[
            ("SELECT 1;\n/*!50001 SELECT 2; */", 2, "end of a statement within a comment"),
            ("/*!50001 SELECT 2", 1, "conditional comment"),
            ("/*!50001 a /*!50002 b */ c */", 1, "within another one"),
            ("/*!50001 SELECT '*/' */", 1, "within quotes"),
            ("/*!50001 SELECT `/*` */", 1, "within quotes"),
            ("/*!50001 SELECT 1 -- */\n */", 1, "within quotes"),
            ("DELIMITER //\nSELECT 1 /*! // */", 2, "end of a statement within a comment"),
        ],
    );
}

#[test]
fn what_is_meant_for_the_client_is_refused() {
    assert_refused(
        Mysql,
        &[
            ("SELECT 1;\nsource other.sql\n", 2, "\"source other.sql\""),
            ("\\. other.sql", 1, "mysql"),
            ("SELECT 1\\G", 1, "mysql"),
            ("SELECT 1\\g\nSELECT 2", 1, "mysql"),
            ("system ls", 1, "mysql"),
            ("QUIT", 1, "mysql"),
            ("tee out.txt;", 1, "mysql"),
            ("SELECT 1;\nLOAD DATA LOCAL INFILE 'f' INTO TABLE t;", 2, "LOCAL"),
            ("LOAD DATA LOW_PRIORITY LOCAL INFILE 'f' INTO TABLE t;", 1, "LOCAL"),
            ("LOAD XML LOCAL INFILE 'f' INTO TABLE t;", 1, "LOCAL"),
        ],
    );
    assert_whole(Mysql, &["LOAD DATA INFILE 'local' INTO TABLE local", "SELECT '\\\\. x'", "SELECT source FROM t"]);
}

#[test]
fn what_servers_or_their_settings_read_in_different_ways_is_refused() {
    assert_refused(
        Mysql,
        &[
            ("SELECT $$a;b$$", 1, "dollar quotes"),
            ("CREATE FUNCTION f() RETURNS INT LANGUAGE JAVASCRIPT AS $js$ return 1; $js$", 1, "dollar quotes"),
            ("SET sql_mode = 'ANSI_QUOTES'", 1, "sql_mode"),
            ("SELECT 1;\nSET SESSION sql_mode := concat(@@sql_mode, ',no_backslash_escapes')", 2, "sql_mode"),
            ("SET @@session.sql_mode = ORACLE", 1, "sql_mode"),
            ("SET @a = 1, sql_mode = 4", 1, "sql_mode"),
            ("SET STATEMENT sql_mode = 'ANSI' FOR SELECT 1", 1, "sql_mode"),
            ("/*!40101 SET sql_mode='MSSQL' */", 1, "sql_mode"),
            ("SET NAMES gbk", 1, "character set"),
            ("SET NAMES 'sjis' COLLATE 'x'", 1, "character set"),
            ("SET CHARACTER SET big5", 1, "character set"),
            ("SET character_set_client = gb18030", 1, "character set"),
        ],
    );
    assert_whole(
        Mysql,
        &[
            "SET NAMES utf8mb4 COLLATE utf8mb4_bin",
            "SET NAMES 'utf8'",
            "SET character_set_client = @saved",
            "SET sql_mode = 'NO_AUTO_VALUE_ON_ZERO'",
            "/*!40101 SET @OLD_SQL_MODE=@@SQL_MODE, SQL_MODE='NO_AUTO_VALUE_ON_ZERO' */",
            "SET SQL_MODE=@OLD_SQL_MODE",
            "SET @sql_mode = 1",
            "CREATE PROCEDURE p() BEGIN SET sql_mode = 'ANSI_QUOTES'; END",
        ],
    );
}

#[test]
fn what_never_ends_and_bodies_that_cannot_be_followed_are_refused_at_their_line() {
    assert_refused(
        Mysql,
        &[
            ("SELECT 1;\nSELECT 'a;\\'", 2, "string literal"),
            ("SELECT \"a\\", 1, "string literal"),
            ("SELECT `a\\`;`", 1, "quoted identifier"),
            ("\n/* a", 2, "comment"),
            ("SELECT (1;\nSELECT 2", 1, "parenthesis"),
            ("SELECT 1;\nCREATE PROCEDURE p()\nBEGIN SELECT 1;\nSELECT 2;", 3, "body"),
            ("CREATE TRIGGER g AFTER INSERT ON t FOR EACH ROW IF a THEN SELECT 1;", 1, "body"),
            ("SELECT 1;\nEND", 2, "begins no statement"),
            ("CREATE PACKAGE p AS PROCEDURE a(); END", 1, "begins no statement"),
            ("CREATE PROCEDURE p() BEGIN SELECT 1; END SELECT 2 FROM t", 1, "more than a label"),
        ],
    );
}

#[test]
fn the_modes_of_a_server_change_where_strings_end() {
    let texts_in =
        |modes, text| split_in(Mysql, modes, text).map(|found| found.into_iter().map(|of| of.text).collect::<Vec<_>>());
    let ansi = SqlModes::of("STRICT_TRANS_TABLES,ANSI_QUOTES");
    let plain = SqlModes::of("no_backslash_escapes");
    assert_eq!(ansi, SqlModes { ansi_quotes: true, no_backslash_escapes: false });
    assert_eq!(plain, SqlModes { ansi_quotes: false, no_backslash_escapes: true });
    assert_eq!(SqlModes::of("STRICT_TRANS_TABLES"), SqlModes::default());
    let script = "SELECT \"a\\\"; SELECT 'b';";
    assert_eq!(texts_in(ansi, script).unwrap(), ["SELECT \"a\\\"", "SELECT 'b'"]);
    assert!(texts(Mysql, script).is_err());
    let script = "SELECT 'a\\'; SELECT 'b'";
    assert_eq!(texts_in(plain, script).unwrap(), ["SELECT 'a\\'", "SELECT 'b'"]);
    assert!(texts(Mysql, script).is_err());
}
