ALTER TABLE customers ADD COLUMN points INTEGER NOT NULL DEFAULT 0;
CREATE INDEX customers_by_points ON customers (points);
