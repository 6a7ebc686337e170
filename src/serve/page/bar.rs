//! Tenants by state, as a bar and as a legend.

use crate::saga::summary::TenantStatus;

use super::text::number;

/// The width of a bar, in its own units.
const WIDTH: u64 = 1_000;

/// The least that a share which is not nothing is drawn as: one tenant of a million is to be seen.
const LEAST: u64 = 10;

/// The order in which a bar is filled, from what is done to what is to come.
const ORDER: [TenantStatus; 10] = [
    TenantStatus::Completed,
    TenantStatus::Unwound,
    TenantStatus::Untouched,
    TenantStatus::Quarantined,
    TenantStatus::Abandoned,
    TenantStatus::Running,
    TenantStatus::Unwinding,
    TenantStatus::Failed,
    TenantStatus::Stuck,
    TenantStatus::Pending,
];

/// A bar.
pub(super) struct Bar {
    pub(super) pieces: Vec<Piece>,
    /// The same in words.
    pub(super) label: String,
}

/// A part of it.
pub(super) struct Piece {
    pub(super) class: &'static str,
    pub(super) x: u64,
    pub(super) width: u64,
}

impl Bar {
    pub(super) fn of(counts: impl IntoIterator<Item = (TenantStatus, u64)>) -> Self {
        let mut counts: Vec<(TenantStatus, u64)> = counts.into_iter().filter(|(_, count)| *count > 0).collect();
        counts.sort_by_key(|(status, _)| ORDER.iter().position(|of| of == status));
        let total: u64 = counts.iter().map(|(_, count)| count).sum();
        let wide = |count: u64| u64::try_from(u128::from(count) * u128::from(WIDTH) / u128::from(total.max(1)));
        let widths: Vec<u64> = counts.iter().map(|(_, count)| wide(*count).unwrap_or(WIDTH).max(LEAST)).collect();
        // What the least ones take is taken from the widest.
        let over = widths.iter().sum::<u64>().saturating_sub(WIDTH);
        let widest = widths.iter().enumerate().max_by_key(|(_, width)| **width).map(|(at, _)| at);
        let mut x = 0;
        let pieces = counts.iter().zip(widths).enumerate().map(|(at, ((status, _), width))| {
            let width = if Some(at) == widest { width.saturating_sub(over) } else { width };
            let piece = Piece { class: status.as_str(), x, width };
            x += width;
            piece
        });
        let pieces = pieces.collect();
        let words: Vec<String> = counts.iter().map(|(status, count)| format!("{} {status}", number(*count))).collect();
        let label = if words.is_empty() { "no tenants".to_owned() } else { words.join(", ") };
        Self { pieces, label }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_a_million_is_seen_and_the_bar_is_full_and_no_wider() {
        let bar = Bar::of([
            (TenantStatus::Stuck, 1),
            (TenantStatus::Pending, 0),
            (TenantStatus::Failed, 2),
            (TenantStatus::Completed, 999_997),
        ]);
        let pieces: Vec<_> = bar.pieces.iter().map(|of| (of.class, of.x, of.width)).collect();
        assert_eq!(pieces, [("completed", 0, 980), ("failed", 980, 10), ("stuck", 990, 10)]);
        assert_eq!(bar.label, "999\u{202f}997 completed, 2 failed, 1 stuck");
    }
}
