//! What `commit` says of a transaction in which an error was passed over, on a real Postgres.
#![cfg(feature = "postgres")]

use outbox_core::{Message, StoreErrorKind};
use outbox_sqlx::Postgres;
use sqlx::{Acquire, PgPool};

async fn fresh() -> (Postgres, PgPool) {
    let pool = PgPool::connect(&testkit::Postgres::shared().await.database().await).await.expect("a database");
    let outbox = Postgres::new();
    outbox.migrate(&pool).await.expect("migrated");
    (outbox, pool)
}

async fn messages(pool: &PgPool) -> i64 {
    sqlx::query_scalar("select count(*) from outbox_message").fetch_one(pool).await.unwrap()
}

#[tokio::test]
async fn an_error_that_was_passed_over_is_said_at_the_commit() {
    let (outbox, pool) = fresh().await;
    let mut tx = pool.begin().await.unwrap();
    outbox.enqueue(&mut tx, Message::new("t", "lost")).await.unwrap();
    _ = sqlx::query("select 1 / 0").execute(&mut *tx).await.expect_err("passed over");
    let error = outbox.commit(tx).await.expect_err("nothing is stored");
    assert_eq!(error.kind(), StoreErrorKind::RolledBack);
    assert!(!error.is_transient());
    let said = error.to_string();
    assert!(said.starts_with("commit: the transaction was rolled back") && said.contains("savepoint"), "{said}");
    assert_eq!(messages(&pool).await, 0);

    // What sqlx says of it; where this fails one day, the look before the commit has become needless.
    let mut tx = pool.begin().await.unwrap();
    outbox.enqueue(&mut tx, Message::new("t", "lost")).await.unwrap();
    _ = sqlx::query("select 1 / 0").execute(&mut *tx).await.expect_err("passed over");
    tx.commit().await.expect("as if it were committed");
    assert_eq!(messages(&pool).await, 0);
}

#[tokio::test]
async fn after_an_error_nothing_can_be_enqueued() {
    let (outbox, pool) = fresh().await;
    let mut tx = pool.begin().await.unwrap();
    _ = sqlx::query("select 1 / 0").execute(&mut *tx).await.expect_err("passed over");
    let error = outbox.enqueue(&mut tx, Message::new("t", "late")).await.expect_err("refused");
    assert_eq!(error.kind(), StoreErrorKind::RolledBack);
    assert_eq!(outbox.lock_key(&mut tx, 7).await.expect_err("refused").kind(), StoreErrorKind::RolledBack);
    drop(tx);
    assert_eq!(messages(&pool).await, 0);
}

#[tokio::test]
async fn an_error_inside_a_savepoint_does_no_harm() {
    let (outbox, pool) = fresh().await;
    let mut tx = pool.begin().await.unwrap();
    outbox.enqueue(&mut tx, Message::new("t", "kept")).await.unwrap();
    let mut savepoint = tx.begin().await.unwrap();
    _ = sqlx::query("select 1 / 0").execute(&mut *savepoint).await.expect_err("rolled back");
    savepoint.rollback().await.unwrap();
    outbox.commit(tx).await.expect("committed");
    assert_eq!(messages(&pool).await, 1);
}
