//! The guide's pages are followed literally: each of their SQL blocks is run, and the relay delivers what the page says.

use outbox::memory::SentMessage;

use crate::db::{Db, Pool};

const PAGE: &str = include_str!("../../../../docs/guide/write-from-anything.md");
const SCHEDULED: &str = include_str!("../../../../docs/guide/scheduled.md");

/// The code blocks: what stands after the back-ticks, and the text.
fn blocks(page: &'static str) -> Vec<(&'static str, String)> {
    let (mut blocks, mut lines) = (Vec::new(), page.lines());
    while let Some(line) = lines.next() {
        if let Some(info) = line.strip_prefix("```") {
            let text: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
            blocks.push((info, text.join("\n")));
        }
    }
    blocks
}

fn line(m: &SentMessage) -> String {
    let headers: Vec<String> = m.headers().iter().map(|(name, value)| format!("{name}={value}")).collect();
    let headers = if headers.is_empty() { "-".into() } else { headers.join(" ") };
    let (key, content_type) = (m.key().unwrap_or("-"), m.content_type().unwrap_or("-"));
    let payload = String::from_utf8_lossy(m.payload());
    format!("{} | {key} | {} | {content_type} | {headers} | {payload}", m.topic(), m.event_type())
}

/// Runs the blocks of this database; returns how many were run, and how many messages were delivered.
async fn follow(page: &'static str, db: &Db) -> (usize, usize) {
    let (mut run, mut count) = (0, 0);
    for (info, text) in blocks(page) {
        let words: Vec<&str> = info.split(' ').collect();
        match words[..] {
            ["sql", _, "rights"] => continue,
            ["sql", ref of @ ..] if of.contains(&db.name) => {
                run += 1;
                db.run(&text).await;
            }
            ["text", "delivered", ref of @ ..] if of.is_empty() || of.contains(&db.name) => {
                let mut expected: Vec<String> = text.lines().map(str::to_owned).collect();
                let mut delivered: Vec<String> = db.delivered().await.iter().map(line).collect();
                count += delivered.len();
                // What has a key keeps its order; the rest may overtake.
                let unkeyed = |line: &String| (line.split(" | ").nth(1) == Some("-")).then(|| line.clone());
                expected.sort_by_key(unkeyed);
                delivered.sort_by_key(unkeyed);
                assert_eq!(delivered, expected, "{}", db.name);
            }
            _ => {}
        }
    }
    assert!(db.delivered().await.is_empty(), "the page does not say all that is delivered");
    (run, count)
}

#[tokio::test]
async fn postgres_does_what_the_page_says() {
    assert_eq!(follow(PAGE, &Db::postgres().await).await, (6, 6));
}

#[tokio::test]
async fn mysql_does_what_the_page_says() {
    assert_eq!(follow(PAGE, &Db::mysql().await).await, (5, 5));
}

#[tokio::test]
async fn mariadb_does_what_the_page_says() {
    assert_eq!(follow(PAGE, &Db::mariadb().await).await, (5, 5));
}

#[tokio::test]
async fn sqlite_does_what_the_page_says() {
    assert_eq!(follow(PAGE, &Db::sqlite("guide").await).await, (5, 4));
}

#[tokio::test]
async fn every_database_schedules_as_the_page_says() {
    for db in [Db::postgres().await, Db::mysql().await, Db::mariadb().await, Db::sqlite("scheduled").await] {
        assert_eq!(follow(SCHEDULED, &db).await, (1, 1), "{}", db.name);
    }
}

#[tokio::test]
async fn the_rights_on_the_page_are_enough_and_no_more() {
    let db = Db::postgres().await;
    let Pool::Postgres(pool) = &db.pool else { unreachable!() };
    let role = format!("shop_writer_{}", std::process::id());
    let (_, grants) = blocks(PAGE).into_iter().find(|(info, _)| *info == "sql postgres rights").unwrap();
    // A role belongs to the whole server: it is never committed.
    let mut tx = pool.begin().await.unwrap();
    let become_writer = format!("create role {role}; {}; set local role {role}", grants.replace("shop_writer", &role));
    let run = async |tx: &mut sqlx::PgConnection, sql: &str| {
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned())).execute(tx).await.map(drop)
    };
    run(&mut tx, &become_writer).await.unwrap();
    run(&mut tx, "insert into outbox_message (topic, event_type, payload) values ('t', 'e', 'x')").await.unwrap();
    run(&mut tx, "select outbox_enqueue('t', '7', 'e', 'x', '{\"a\": \"b\"}')").await.unwrap();
    for refused in ["update outbox_message set topic = 'x'", "delete from outbox_message", "truncate outbox_message"] {
        run(&mut tx, "savepoint here").await.unwrap();
        let error = run(&mut tx, refused).await.expect_err(refused);
        assert!(error.to_string().contains("permission denied"), "{error}");
        run(&mut tx, "rollback to here").await.unwrap();
    }
}

#[test]
fn the_page_shows_the_code_of_the_examples() {
    let mut shown = 0;
    for (info, text) in blocks(PAGE) {
        let source = match info {
            "rust tokio-postgres" => include_str!("../../../tokio-postgres/src/lib.rs"),
            "rust sea-orm" => include_str!("../../../sea-orm/src/lib.rs"),
            "python postgres.py" => include_str!("../../python/postgres.py"),
            _ => continue,
        };
        shown += 1;
        assert!(source.contains(&text), "{info}: the page and the example differ");
    }
    assert_eq!(shown, 3);
}
