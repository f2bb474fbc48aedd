//! One test for both servers of MySQL's kind.
#![allow(dead_code, reason = "each test binary uses its part")]

use outbox_sqlx::Mysql;
use sqlx::MySqlPool;

/// A database of its own.
pub(crate) async fn pool(server: &testkit::Mysql) -> MySqlPool {
    MySqlPool::connect(&server.database().await).await.expect("a database")
}

pub(crate) async fn migrated(pool: &MySqlPool) -> Mysql {
    let outbox = Mysql::new();
    outbox.migrate(pool).await.expect("migrated");
    outbox
}

macro_rules! on_both {
    ($($test:ident,)*) => {
        mod mysql {
            $(#[tokio::test]
            async fn $test() {
                super::$test(crate::servers::pool(&testkit::Mysql::mysql().await).await).await;
            })*
        }

        mod mariadb {
            $(#[tokio::test]
            async fn $test() {
                super::$test(crate::servers::pool(&testkit::Mysql::mariadb().await).await).await;
            })*
        }
    };
}
pub(crate) use on_both;
