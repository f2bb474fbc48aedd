//! `lock_key` on SQLite, where it has nothing to lock.
#![cfg(feature = "sqlite")]

use outbox_core::StoreErrorKind;
use outbox_sqlx::Sqlite;
use sqlx::SqlitePool;

#[tokio::test]
async fn only_the_transaction_is_asked_for() {
    let pool = SqlitePool::connect("sqlite::memory:").await.unwrap();
    let outbox = Sqlite::new();
    let mut conn = pool.acquire().await.unwrap();
    let error = outbox.lock_key(&mut conn, 7).await.expect_err("refused");
    assert_eq!(error.kind(), StoreErrorKind::NotInTransaction);
    assert!(error.to_string().starts_with("lock key") && error.to_string().contains("pool.begin()"), "{error}");
    drop(conn);
    let mut tx = pool.begin().await.unwrap();
    outbox.lock_key(&mut tx, 7).await.unwrap();
    outbox.lock_keys(&mut tx, ["b", "a"]).await.unwrap();
}
