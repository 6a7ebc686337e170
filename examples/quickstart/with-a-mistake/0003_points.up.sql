ALTER TABLE customers ADD COLUMN points INTEGER NOT NULL DEFAULT 0;
-- The table is called customers.
CREATE INDEX customers_by_points ON customer (points);
