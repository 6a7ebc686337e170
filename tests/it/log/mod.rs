//! The log: conformance of every implementation, and what only one of them can do.

/// Behaviours that every log must have, each tried on each log.
macro_rules! conformance {
    ($( $behaviour:ident )*) => {
        mod on_memory {
            $( #[tokio::test(flavor = "multi_thread")] async fn $behaviour() { super::$behaviour(super::memory()).await; } )*
        }
        mod on_sqlite {
            $( #[tokio::test(flavor = "multi_thread")] async fn $behaviour() { super::$behaviour(super::sqlite().await).await; } )*
        }
    };
}

pub mod bench;
mod claims;
mod conformance;
mod desk;
mod differential;
mod pause;
mod sqlite;
