ALTER TABLE orders ADD COLUMN status TEXT NOT NULL DEFAULT 'paid' CHECK (status IN ('open', 'paid', 'refunded'));
CREATE INDEX orders_by_status ON orders (status, placed_on);
