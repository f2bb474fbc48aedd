//! What a commit tells of a transaction that a deadlock has ended, on MySQL and MariaDB.
#![cfg(feature = "mysql")]

use outbox_core::{Message, StoreErrorKind};
use outbox_sqlx::Mysql;
use sqlx::{MySqlPool, Row};

/// Two transactions lock two rows crosswise; whoever the server chooses passes its error over and goes on.
async fn a_deadlock_that_is_passed_over_is_said(pool: MySqlPool) {
    let outbox = Mysql::new();
    outbox.migrate(&pool).await.expect("migrated");
    sqlx::raw_sql("create table shop (id int primary key, n int); insert into shop values (1, 0), (2, 0)")
        .execute(&pool)
        .await
        .expect("a table");
    let both = std::sync::Arc::new(tokio::sync::Barrier::new(2));
    let cross = |first: i32, second: i32| {
        let (outbox, pool, both) = (outbox.clone(), pool.clone(), both.clone());
        async move {
            let update = "update shop set n = n + 1 where id = ?";
            let mut tx = pool.begin().await.expect("begun");
            sqlx::query(update).bind(first).execute(&mut *tx).await.expect("the first row");
            both.wait().await;
            let passed_over = sqlx::query(update).bind(second).execute(&mut *tx).await.is_err();
            outbox.enqueue(&mut tx, Message::new("t", "e")).await.expect("the connection goes on");
            (passed_over, outbox.commit(tx).await.map_err(|e| e.kind()))
        }
    };
    let (one, two) = tokio::join!(tokio::spawn(cross(1, 2)), tokio::spawn(cross(2, 1)));
    let mut ends = [one.expect("no panic"), two.expect("no panic")];
    ends.sort_by_key(|end| end.0);
    assert_eq!(ends, [(false, Ok(())), (true, Err(StoreErrorKind::RolledBack))]);
    let sum = sqlx::query("select cast(sum(n) as signed) from shop").fetch_one(&pool).await.expect("a sum");
    assert_eq!(sum.get::<i64, _>(0), 2, "the updates of one of them");
}

#[tokio::test]
async fn on_mysql() {
    a_deadlock_that_is_passed_over_is_said(pool(&testkit::Mysql::mysql().await).await).await;
}

#[tokio::test]
async fn on_mariadb() {
    a_deadlock_that_is_passed_over_is_said(pool(&testkit::Mysql::mariadb().await).await).await;
}

async fn pool(server: &testkit::Mysql) -> MySqlPool {
    MySqlPool::connect(&server.database().await).await.expect("a database")
}
