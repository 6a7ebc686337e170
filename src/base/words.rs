//! Words for people.

/// `1 tenant`, `2 tenants`.
pub(crate) fn count(number: impl Into<u64>, one: &str) -> String {
    let number = number.into();
    if number == 1 { format!("1 {one}") } else { format!("{number} {one}s") }
}
