CREATE TABLE orders (
    id       INTEGER PRIMARY KEY,
    customer INTEGER NOT NULL REFERENCES customers (id),
    cents    INTEGER NOT NULL
);
CREATE INDEX orders_of_customer ON orders (customer);
