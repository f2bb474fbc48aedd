//! What the guide's page says of rows that other writers get wrong.

use crate::db::{Db, Pool};

/// The beginning of an insert with a key. On MySQL that is a word of the language.
fn insert(db: &Db) -> String {
    let key = if matches!(db.pool, Pool::Mysql(_)) { "`key`" } else { "key" };
    format!("insert into outbox_message (topic, {key}, event_type, payload, headers) values")
}

async fn a_row_out_of_the_limits_becomes_a_dead_letter_alone(db: Db) {
    let insert = insert(&db);
    // The limits are bytes. Columns that have a length count characters.
    let long = "é".repeat(600);
    let backslash = if matches!(db.pool, Pool::Mysql(_)) { r"\\" } else { r"\" };
    for (row, reason) in [
        (format!("'orders', '{long}', 'e', 'x', null"), "the key"),
        (format!("'orders', null, '{}', 'x', null", &long[..400]), "the event type"),
        ("'or\nders', null, 'e', 'x', null".to_owned(), "CR, LF or NUL"),
        (format!(r#"'orders', null, 'e', 'x', '{{"a": "b{backslash}nc"}}'"#), "CR, LF or NUL"),
    ] {
        db.run(&format!("{insert} ({row}), ('orders', null, 'e', 'next', null)")).await;
        let delivered = db.delivered().await;
        assert_eq!(delivered.iter().map(|m| m.payload()).collect::<Vec<_>>(), [b"next"], "{}: {row}", db.name);
        assert_eq!(db.count(&format!("outbox_dead_letter where reason like '%{reason}%'")).await, 1, "{reason}");
        db.run("delete from outbox_dead_letter").await;
    }
}

async fn the_table_refuses_what_is_no_message(db: Db) {
    let insert = insert(&db);
    for row in [
        "'', null, 'e', 'x', null",
        "'t', '', 'e', 'x', null",
        "'t', null, '', 'x', null",
        "null, null, 'e', 'x', null",
        "'t', null, 'e', null, null",
        "'t', null, 'e', 'x', '[1]'",
        "'t', null, 'e', 'x', '{'",
    ] {
        db.try_run(&format!("{insert} ({row})")).await.expect_err(row);
    }
    let text_id = "'0190c1a5-7a3b-7c3d-8e4f-5a6b7c8d9e0g'";
    let id = format!("insert into outbox_message (id, topic, event_type, payload) values ({text_id}, 't', 'e', 'x')");
    db.try_run(&id).await.expect_err("no UUID");
    assert_eq!(db.delivered().await, []);
}

async fn a_header_that_is_no_text_arrives_as_its_json(db: Db) {
    db.run(&format!("{} {}", insert(&db), r#"('t', null, 'e', 'x', '{"n": 1}')"#)).await;
    assert_eq!(db.delivered().await[0].headers(), [("n".to_owned(), "1".to_owned())], "{}", db.name);
}

#[tokio::test]
async fn postgres_refuses_what_is_no_message() {
    the_table_refuses_what_is_no_message(Db::postgres().await).await;
}

#[tokio::test]
async fn mysql_refuses_what_is_no_message() {
    the_table_refuses_what_is_no_message(Db::mysql().await).await;
}

#[tokio::test]
async fn mariadb_refuses_what_is_no_message() {
    the_table_refuses_what_is_no_message(Db::mariadb().await).await;
}

#[tokio::test]
async fn sqlite_refuses_what_is_no_message() {
    the_table_refuses_what_is_no_message(Db::sqlite("refused").await).await;
}

#[tokio::test]
async fn postgres_makes_a_dead_letter_of_a_row_out_of_the_limits() {
    a_row_out_of_the_limits_becomes_a_dead_letter_alone(Db::postgres().await).await;
}

#[tokio::test]
async fn mysql_makes_a_dead_letter_of_a_row_out_of_the_limits() {
    a_row_out_of_the_limits_becomes_a_dead_letter_alone(Db::mysql().await).await;
}

#[tokio::test]
async fn mariadb_makes_a_dead_letter_of_a_row_out_of_the_limits() {
    a_row_out_of_the_limits_becomes_a_dead_letter_alone(Db::mariadb().await).await;
}

#[tokio::test]
async fn sqlite_makes_a_dead_letter_of_a_row_out_of_the_limits() {
    a_row_out_of_the_limits_becomes_a_dead_letter_alone(Db::sqlite("limits").await).await;
}

#[tokio::test]
async fn a_header_that_is_no_text_arrives_as_its_json_from_all() {
    a_header_that_is_no_text_arrives_as_its_json(Db::postgres().await).await;
    a_header_that_is_no_text_arrives_as_its_json(Db::mysql().await).await;
    a_header_that_is_no_text_arrives_as_its_json(Db::mariadb().await).await;
    a_header_that_is_no_text_arrives_as_its_json(Db::sqlite("headers").await).await;
}
