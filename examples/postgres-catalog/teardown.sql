-- Takes away what setup.sql has made.
\set QUIET on
DROP DATABASE IF EXISTS shop_acme;
DROP DATABASE IF EXISTS shop_bolt;
DROP DATABASE IF EXISTS shop_crow;
DROP DATABASE IF EXISTS shop_catalog;
DROP ROLE IF EXISTS shop_deploy;
