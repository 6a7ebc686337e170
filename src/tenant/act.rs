//! What the engines' sessions have in common when they act.

use super::reply::Cells;
use super::session::CheckOutcome;
use crate::base::crash::Point;
use crate::saga::event::Half;

/// The points at which a test may kill the process: before, inside and after an effect.
pub(super) const fn points(half: Half) -> [Point; 3] {
    match half {
        Half::Act => [Point::BeforeEffect, Point::InsideEffect, Point::AfterEffect],
        Half::Undo => [Point::BeforeUndoEffect, Point::InsideUndoEffect, Point::AfterUndoEffect],
    }
}

/// How many rows of a check's answer are looked at: one more than it may have.
pub(super) const CHECK_ROWS_MAX: usize = 2;

/// Judges a check's answer: it holds if it is one row of one column, and that is true or a number other than 0.
pub(super) fn answer(rows: &[Cells]) -> CheckOutcome {
    let said = match rows {
        [] => "no row".to_owned(),
        [row] => match row.as_slice() {
            [None] => "NULL".to_owned(),
            [Some(text)] if holds(text) => return CheckOutcome::Holds,
            [Some(text)] => text.chars().take(200).collect(),
            columns => format!("{} columns", columns.len()),
        },
        _ => "more than one row".to_owned(),
    };
    CheckOutcome::Fails { answer: said }
}

fn holds(text: &str) -> bool {
    let text = text.trim();
    matches!(text, "t" | "true") || text.parse::<f64>().is_ok_and(|number| number.is_finite() && number != 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_true_value_holds() {
        let one = |text: &str| answer(&[vec![Some(text.to_owned())]]);
        for good in ["t", "true", "1", "-3", "0.5"] {
            assert_eq!(one(good), CheckOutcome::Holds, "{good}");
        }
        for bad in ["f", "false", "0", "0.0", "", "yes", "NaN", "inf"] {
            assert_eq!(one(bad), CheckOutcome::Fails { answer: bad.to_owned() });
        }
        let row = || vec![Some("t".to_owned())];
        assert_eq!(answer(&[]), CheckOutcome::Fails { answer: "no row".to_owned() });
        assert_eq!(answer(&[row(), row()]), CheckOutcome::Fails { answer: "more than one row".to_owned() });
        assert_eq!(answer(&[vec![None]]), CheckOutcome::Fails { answer: "NULL".to_owned() });
        assert_eq!(answer(&[vec![None, None]]), CheckOutcome::Fails { answer: "2 columns".to_owned() });
    }
}
