//! The Python programs write orders with their messages, and a relay delivers them.

use std::process::Stdio;

use outbox::MessageId;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::db::Db;

/// A name from every script, what JSON and SQL have to escape, and what is no letter.
const CUSTOMERS: [&str; 8] =
    ["Zoë", "Ελένη", "Наталія", "مريم", "नेहा", "陳麗", "👩🏽‍🚀 \u{feff}", r#"O'Neil \ "$1" {}; -- %s ?"#];
/// All bytes, and its base64.
const RECEIPT: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7PD0+P0BBQkNERUZHSElKS0xNTk9QUVJTVFVWV1hZWltcXV5fYGFiY2RlZmdoaWprbG1ub3BxcnN0dXZ3eHl6e3x9fn+AgYKDhIWGh4iJiouMjY6PkJGSk5SVlpeYmZqbnJ2en6ChoqOkpaanqKmqq6ytrq+wsbKztLW2t7i5uru8vb6/wMHCw8TFxsfIycrLzM3Oz9DR0tPU1dbX2Nna29zd3t/g4eLj5OXm5+jp6uvs7e7v8PHy8/T19vf4+fr7/P3+/w==";

/// A Python that has the module; Debian's own one has what was installed with apt-get.
async fn python(module: &str) -> &'static str {
    for python in ["python3", "/usr/bin/python3"] {
        let import = Command::new(python).args(["-c", &format!("import {module}")]).stderr(Stdio::null()).status();
        if import.await.is_ok_and(|status| status.success()) {
            return python;
        }
    }
    panic!("no python3 can import {module}: run `cargo xtask setup`, or install python3 and python3-psycopg");
}

/// Runs the program with these lines; returns what it printed.
async fn run(python: &str, program: &str, url: &str, lines: &str) -> String {
    let program = format!("{}/python/{program}", env!("CARGO_MANIFEST_DIR"));
    let mut command = Command::new(python);
    command.args([&program, url]).env("PYTHONIOENCODING", "utf-8").kill_on_drop(true);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(lines.as_bytes()).await.unwrap();
    let output = child.wait_with_output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

async fn orders_and_their_messages_arrive(db: Db, python: &str, program: &str) {
    db.run("create table orders (id bigint primary key, customer text not null, cents bigint check (cents > 0))").await;
    let order = |id: usize, cents: usize| {
        let customer = quoted(CUSTOMERS[id]);
        format!("{{\"id\": {id}, \"customer\": {customer}, \"cents\": {cents}, \"receipt\": \"{RECEIPT}\"}}\n")
    };
    let mut lines: String = (0..CUSTOMERS.len()).map(|id| order(id, 995)).collect();
    lines += &order(0, 1); // this id is taken
    lines += &order(1, 0).replace("\"id\": 1", "\"id\": 100"); // it costs nothing
    let printed = run(python, program, &db.url, &lines).await;
    let printed: Vec<&str> = printed.lines().collect();
    assert_eq!(printed.len(), CUSTOMERS.len() + 2, "{printed:?}");
    let refused = printed.iter().filter(|line| line.starts_with("refused: ")).count();
    assert_eq!(refused, 2, "{printed:?}");
    assert_eq!(db.count("orders").await, CUSTOMERS.len() as i64);

    let delivered = db.delivered().await;
    assert_eq!(delivered.len(), 2 * CUSTOMERS.len(), "a refused order has no message");
    for (id, customer) in CUSTOMERS.into_iter().enumerate() {
        let ids: Vec<&str> = printed[id].split(' ').collect();
        let of = |id: &str| delivered.iter().find(|m| m.id().to_string() == id).expect("delivered");
        let (created, receipt) = (of(ids[0]), of(ids[1]));
        assert_eq!((created.topic(), created.key()), ("orders", Some(customer)));
        assert_eq!((created.event_type(), created.content_type()), ("order.created", Some("application/json")));
        let body = format!("{{\"id\": {id}, \"customer\": {}, \"cents\": 995}}", quoted(customer));
        assert_eq!(String::from_utf8_lossy(created.payload()), body);
        let mut headers = created.headers().to_vec();
        headers.sort();
        assert_eq!(headers, [("customer".into(), customer.into()), ("source".into(), "python".into())]);

        assert_eq!((receipt.topic(), receipt.key()), ("receipts", Some(customer)));
        assert_eq!((receipt.event_type(), receipt.content_type()), ("receipt.printed", Some("application/pdf")));
        assert!(receipt.payload().iter().copied().eq(0..=255));
        assert_eq!(receipt.headers(), []);
    }
    let first: Vec<MessageId> = delivered.iter().filter(|m| m.key() == Some(CUSTOMERS[0])).map(|m| m.id()).collect();
    let written: Vec<&str> = printed[0].split(' ').collect();
    assert_eq!(first.iter().map(ToString::to_string).collect::<Vec<_>>(), written, "in the order of writing");
}

#[tokio::test]
async fn psycopg_writes_what_a_relay_delivers() {
    orders_and_their_messages_arrive(Db::postgres().await, python("psycopg").await, "postgres.py").await;
}

#[tokio::test]
async fn the_sqlite3_of_python_writes_what_a_relay_delivers() {
    orders_and_their_messages_arrive(Db::sqlite("python").await, python("sqlite3").await, "sqlite.py").await;
}
