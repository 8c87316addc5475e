//! What every source promises, whatever database is behind it: the engine knows the traits only, so
//! each promise is checked through them, once for each source.

mod chunks; // Chunks together are the whole, and each is read to its end.
mod description; // Tables, columns, statistics, density.
mod instants; // One point in time.
mod subject; // A source, and somebody else who changes its data.

/// Runs these checks on every source.
macro_rules! for_every_source {
    ($($check:ident),+ $(,)?) => {
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $check() {
                super::$check(&crate::source_contract::subject::Subject::postgres().await).await;
            })+
        }
        mod mariadb {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $check() {
                let subject = crate::source_contract::subject::Subject::mariadb().await;
                super::$check(&subject).await;
            })+
        }
        mod mysql {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $check() {
                let subject = crate::source_contract::subject::Subject::mysql().await;
                super::$check(&subject).await;
            })+
        }
        mod sqlserver {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $check() {
                let subject = crate::source_contract::subject::Subject::sqlserver().await;
                super::$check(&subject).await;
            })+
        }
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $check() {
                super::$check(&crate::source_contract::subject::Subject::sqlite().await).await;
            })+
        }
    };
}
use for_every_source;
