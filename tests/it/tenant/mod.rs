//! Sessions with real tenant databases: one conformance suite for every engine, and what only one of them can do.

mod behaviour;
mod concurrently;
mod in_doubt;
mod mariadb;
mod postgres;
mod sqlite;
mod strides;
mod subject;

use subject::{Kind, Subject};

/// Makes a test of each behaviour on each kind of tenant.
macro_rules! conformance {
    ($suite:ident in $modules:tt: $($behaviour:ident,)*) => {
        conformance!(@kinds $suite $modules $($behaviour)*);
    };
    (@kinds $suite:ident [$database:ident $schema:ident $sqlite:ident $mariadb:ident] $($behaviour:ident)*) => {
        conformance!(@kind $suite $database PostgresDatabase $($behaviour)*);
        conformance!(@kind $suite $schema PostgresSchema $($behaviour)*);
        conformance!(@kind $suite $sqlite Sqlite $($behaviour)*);
        conformance!(@kind $suite $mariadb MariaDb $($behaviour)*);
    };
    (@kind $suite:ident $module:ident $kind:ident $($behaviour:ident)*) => {
        mod $module {
            use super::{Kind, Subject, $suite};
            $(
                #[tokio::test]
                async fn $behaviour() {
                    $suite::$behaviour(&Subject::new(Kind::$kind).await).await;
                }
            )*
        }
    };
}

conformance! {
    behaviour in [on_a_postgres_database on_a_postgres_schema on_a_sqlite_file on_a_mariadb_database]:
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

conformance! {
    strides in [strides_on_a_postgres_database strides_on_a_postgres_schema strides_on_a_sqlite_file strides_on_a_mariadb_database]:
    a_step_that_begins_nothing_makes_no_table,
    an_intent_is_found_by_the_next_worker_who_settles_it,
    what_is_forgotten_can_be_intended_again,
    a_row_that_is_not_there_cannot_be_settled,
    an_effect_and_its_outcome_come_together_and_once,
    a_stride_that_fails_leaves_neither_row_nor_effect,
    a_statement_that_fails_by_itself_is_told_as_the_server_tells_it,
    a_commit_inside_a_stride_is_caught_and_its_row_does_not_stay,
    a_worker_whose_fence_was_raised_writes_nothing,
    the_end_brings_ledger_row_fence_and_last_outcome_together,
    an_end_that_is_refused_brings_none_of_the_three,
    a_part_keeps_the_fence_open_until_its_undo_is_in,
    an_intent_that_was_forgotten_does_not_keep_the_fence_open,
    what_lives_in_the_session_lasts_until_it_is_renewed,
    a_lock_that_is_held_is_waited_for_and_then_told,
}
