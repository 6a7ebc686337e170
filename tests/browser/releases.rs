//! Releases that take their time, so that there is something to be seen on the way.

use super::house::House;

const ORDERS: (&str, &str, &str) =
    ("0001_orders", "CREATE TABLE orders (id INTEGER PRIMARY KEY, number TEXT);\n", "DROP TABLE orders;\n");

/// So many rows that are counted up, for the time it takes.
const COUNTED: u32 = 60_000;

/// A statement that takes some tens of milliseconds.
fn slow(name: &str) -> String {
    format!(
        "CREATE TABLE {name} AS WITH RECURSIVE n (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < {COUNTED}) \
         SELECT count(*) AS rows FROM n;\n"
    )
}

/// `slow`: a migration that takes its time, up and down.
pub fn slow_one(house: &House) {
    let (up, down) = (slow("report"), format!("{}DROP TABLE again;\nDROP TABLE report;\n", slow("again")));
    house.release("slow", &[ORDERS, ("0002_report", &up, &down)]);
}

/// `unique`: as `slow`, and then an index that the data of a tenant may not allow.
pub fn unique(house: &House) {
    let (up, down) = (slow("report"), format!("{}DROP TABLE again;\nDROP TABLE report;\n", slow("again")));
    let index = "CREATE UNIQUE INDEX by_number ON orders (number);\n";
    house.release("unique", &[ORDERS, ("0002_report", &up, &down), ("0003_unique", index, "DROP INDEX by_number;\n")]);
}

/// `stubborn`: a migration whose undo the data of a tenant may not allow.
pub fn stubborn(house: &House) {
    let up = format!("{}ALTER TABLE orders ADD COLUMN state TEXT;\n", slow("report"));
    let down = "CREATE UNIQUE INDEX guard ON orders (number);\nDROP INDEX guard;\n\
                ALTER TABLE orders DROP COLUMN state;\nDROP TABLE report;\n";
    house.release("stubborn", &[ORDERS, ("0002_state", &up, down)]);
}
