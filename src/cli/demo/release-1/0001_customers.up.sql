-- A franchise's customers and what they order.
CREATE TABLE customers (
    id    INTEGER PRIMARY KEY,
    name  TEXT NOT NULL,
    email TEXT NOT NULL
);

CREATE TABLE orders (
    id        INTEGER PRIMARY KEY,
    customer  INTEGER NOT NULL REFERENCES customers (id),
    placed_on TEXT NOT NULL,
    cents     INTEGER NOT NULL CHECK (cents > 0)
);
