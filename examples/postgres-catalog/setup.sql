-- The catalog, and three tenants with rows in them. Run by psql, as a role that may create roles and databases, with -v password=…
\set ON_ERROR_STOP on
\set QUIET on

-- One role for all deploys: Windlass ends what an earlier, crashed worker left behind in a tenant, and a role may end its own sessions.
CREATE ROLE shop_deploy LOGIN PASSWORD :'password';

CREATE DATABASE shop_catalog OWNER shop_deploy;
CREATE DATABASE shop_acme OWNER shop_deploy;
CREATE DATABASE shop_bolt OWNER shop_deploy;
CREATE DATABASE shop_crow OWNER shop_deploy;

\set server_host :HOST
\set server_port :PORT

\connect shop_catalog
SET ROLE shop_deploy;
CREATE TABLE tenants (
    id       text PRIMARY KEY,
    host     text NOT NULL,
    port     integer NOT NULL,
    database text NOT NULL UNIQUE,
    plan     text NOT NULL,
    active   boolean NOT NULL DEFAULT true
);
INSERT INTO tenants VALUES
    ('acme', :'server_host', :server_port, 'shop_acme', 'pro', true),
    ('bolt', :'server_host', :server_port, 'shop_bolt', 'free', true),
    ('crow', :'server_host', :server_port, 'shop_crow', 'free', true),
    -- Not there any more, and not to be deployed to.
    ('dove', :'server_host', :server_port, 'shop_dove', 'free', false);

\connect shop_acme
SET ROLE shop_deploy;
CREATE TABLE customers (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, email text NOT NULL);
INSERT INTO customers (email) VALUES ('ann@acme.example'), ('bob@acme.example');

\connect shop_bolt
SET ROLE shop_deploy;
CREATE TABLE customers (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, email text NOT NULL);
INSERT INTO customers (email) VALUES ('cat@bolt.example');

-- One customer twice: release 2 will find that out.
\connect shop_crow
SET ROLE shop_deploy;
CREATE TABLE customers (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, email text NOT NULL);
INSERT INTO customers (email) VALUES ('dan@crow.example'), ('dan@crow.example');
