CREATE TABLE invoices (
    id     INTEGER PRIMARY KEY,
    "order" INTEGER NOT NULL REFERENCES orders (id),
    number TEXT NOT NULL,
    cents  INTEGER NOT NULL
);
