//! Sessions with real tenant databases: one conformance suite for every engine, and what only one of them can do.

mod behaviour;
mod mariadb;
mod postgres;
mod sqlite;
mod subject;

use subject::{Kind, Subject};

/// Makes a test of each behaviour on each kind of tenant.
macro_rules! conformance {
    ($($behaviour:ident,)*) => {
        conformance!(@kind on_a_postgres_database PostgresDatabase $($behaviour)*);
        conformance!(@kind on_a_postgres_schema PostgresSchema $($behaviour)*);
        conformance!(@kind on_a_sqlite_file Sqlite $($behaviour)*);
        conformance!(@kind on_a_mariadb_database MariaDb $($behaviour)*);
    };
    (@kind $module:ident $kind:ident $($behaviour:ident)*) => {
        mod $module {
            use super::{Kind, Subject, behaviour};
            $(
                #[tokio::test]
                async fn $behaviour() {
                    behaviour::$behaviour(&Subject::new(Kind::$kind).await).await;
                }
            )*
        }
    };
}

conformance! {
    a_survey_touches_nothing,
    opening_makes_an_empty_ledger_and_a_survey_sees_the_fence,
    an_applied_unit_is_in_force_for_this_session_the_next_and_a_survey,
    a_unit_applied_twice_takes_effect_once,
    a_row_that_somebody_else_wrote_settles_the_unit,
    a_failing_second_statement_leaves_nothing_and_is_named,
    a_syntax_error_is_named_by_its_statement,
    an_undone_migration_is_not_in_force,
    the_fence_says_done_and_undone_with_the_unit_that_made_it_so,
    a_session_that_ends_with_nothing_done_says_so_in_the_fence,
    a_fence_that_is_anothers_is_not_written_to,
    a_voided_step_can_never_be_applied,
    an_applied_step_cannot_be_voided,
    a_later_worker_fences_an_earlier_one,
    a_raised_fence_alone_stops_a_unit,
    the_same_worker_may_open_again_and_another_of_the_same_epoch_may_not,
    a_commit_inside_the_text_is_caught,
    a_commit_and_a_begin_inside_the_text_are_caught,
    a_rollback_inside_the_text_is_caught,
    a_statement_that_ends_in_a_comment_does_not_swallow_what_follows,
    a_check_holds_fails_or_errs_and_never_writes,
    a_lock_that_is_held_is_a_transient_timeout,
    a_statement_that_takes_too_long_is_a_permanent_timeout,
    a_ledger_row_that_cannot_be_read_is_damage,
    a_missing_database_is_named_as_missing,
    names_may_hold_quotes_and_backslashes,
}
