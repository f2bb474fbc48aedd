//! What cannot work is refused with what to do about it, and nothing is lost.

mod common;

use std::collections::HashSet;

use common::shop::Shop;
use common::traffic::{judge, numbered};
use common::{Config, Directory, RELAY, SOON, refused, terminate, works};
use outbox::Message;
use testkit::eventually;

/// Somewhere nobody listens: what is refused is refused before anything is connected.
const NOWHERE: &str = "127.0.0.1:1";

/// Runs a relay on a file that has to be refused with all of these words.
async fn is_refused(text: &str, words: &[&str]) {
    let config = Config::new(text);
    let said = refused(&["relay", "--config", config.path()]).await;
    for word in words {
        assert!(said.contains(word), "{word:?} is not in:\n{said}\nfor\n{text}");
    }
    assert!(!said.contains("hunter2"), "a secret is told:\n{said}");
}

fn file(outbox: &str, relay: &str) -> String {
    format!(
        "[[outbox]]\n{outbox}\n[[outbox.relay]]\nname = \"r\"\nto = {{ kafka = {{ bootstrap = \"{NOWHERE}\" }} }}\n{relay}"
    )
}

#[tokio::test]
async fn a_wrong_file_is_refused_by_name() {
    let url = "url = \"postgres://app:hunter2@127.0.0.1:1/shop\"";
    is_refused(&file(url, "lease = 5"), &["outbox.toml is not valid", "unknown field `lease`", "lease_seconds"]).await;
    is_refused(&file("urll = \"hunter2\"", ""), &["line 2", "unknown field `urll`", "url_env"]).await;
    is_refused(&file("url = postgres://app:hunter2@db/shop", ""), &["line 2", "is not valid"]).await;
    let relay = "[[outbox]]\nurl = \"x\"\n[[outbox.relay]]\nname = \"r\"\nto = ";
    for to in ["\"amqp://app:hunter2@b\"", "{ kafka = \"kafka://app:hunter2@b\" }"] {
        is_refused(&format!("{relay}{to}"), &["line 5", "is not valid"]).await;
    }
    is_refused(&file("", ""), &["needs either url or url_env"]).await;
    is_refused(&file("url_env = \"OUTBOX_TEST_NOT_SET\"", ""), &["OUTBOX_TEST_NOT_SET", "is not set"]).await;
    let unknown = "url = \"oracle://app:hunter2@db/shop\"";
    is_refused(&file(unknown, ""), &["unknown scheme", "postgres://", "sqlite:"]).await;
    is_refused(&file(&format!("{url}\nprefix = 'out\"box'"), ""), &["prefix", "use a letter or _"]).await;
    is_refused(&file(&format!("{url}\nschema = 'a;b'"), ""), &["schema", "use a letter or _"]).await;
    is_refused(&file("url = \"sqlite:shop.db\"\nschema = \"shop\"", ""), &["SQLite has no schemas", "prefix"]).await;
    is_refused(&file(url, "topics = [\"a*b\"]"), &["topics", "*"]).await;
    is_refused(&file(url, "lease_seconds = 3"), &["lease", "twice the longest publish deadline"]).await;
    is_refused(&file(url, "batch = 0"), &["batch", "1 to 10,000"]).await;
    is_refused(url.replace("url", "[[outbox]]\nurl").as_str(), &["no [[outbox.relay]]"]).await;
    let missing = refused(&["relay", "--config", "/no/such/outbox.toml"]).await;
    assert!(missing.contains("/no/such/outbox.toml cannot be read") && missing.contains("--config"), "{missing}");
}

#[tokio::test]
async fn what_the_order_rests_on_cannot_be_switched_off() {
    let kafka = |options: &str| {
        format!(
            "[[outbox]]\nurl = \"sqlite:shop.db\"\n[[outbox.relay]]\nname = \"r\"\n\
             to = {{ kafka = {{ bootstrap = \"{NOWHERE}\", options = {{ {options} }} }} }}"
        )
    };
    is_refused(&kafka("acks = \"1\""), &["acks", "always all", "leave it out"]).await;
    is_refused(&kafka("\"enable.idempotence\" = \"false\""), &["enable.idempotence", "leave it out"]).await;
    is_refused(&kafka("\"message.timeout.ms\" = \"5\""), &["message.timeout.ms", "leave it out"]).await;
    is_refused(&kafka("\"sasl.pasword\" = \"hunter2\""), &["sasl.pasword", "check their names"]).await;
    let secret = "[[outbox]]\nurl = \"sqlite:shop.db\"\n[[outbox.relay]]\nname = \"r\"\nto = { kafka = { bootstrap = \
                  \"b:1\", options_env = { \"sasl.password\" = \"OUTBOX_TEST_NOT_SET\" } } }";
    is_refused(secret, &["OUTBOX_TEST_NOT_SET", "is not set"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_that_do_not_fit_are_refused_and_left_alone() {
    let url = testkit::Postgres::shared().await.database().await;
    let config = Config::relay_of(&url, NOWHERE, "");
    let directory = Directory::new();
    let empty = format!("sqlite:{}?mode=rwc", directory.file("empty.db"));
    for arguments in [
        vec!["relay", "--config", config.path()],
        vec!["status", "--config", config.path()],
        vec!["status", "--url", &empty],
        vec!["reset", RELAY, "--url", &empty],
    ] {
        let said = refused(&arguments).await;
        assert!(said.contains("tables are missing") && said.contains("outbox migrate"), "{arguments:?}: {said}");
    }
    works(&["migrate", "--url", &url]).await;
    let pool = sqlx::PgPool::connect(&url).await.unwrap();
    for (version, advice) in [(0, "outbox migrate"), (99, "upgrade this program")] {
        sqlx::raw_sql("delete from outbox_schema").execute(&pool).await.unwrap();
        sqlx::query("insert into outbox_schema (version) values ($1)").bind(version).execute(&pool).await.unwrap();
        let said = refused(&["relay", "--config", config.path()]).await;
        assert!(said.contains(advice), "version {version}: {said}");
    }
    let said = refused(&["migrate", "--url", &url]).await;
    assert!(said.contains("version 99") && said.contains("nothing was changed"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_can_never_arrive_becomes_a_dead_letter_alone() {
    let shop = Shop::open().await;
    let small = shop.kafka.topic_with("small", 1, &[("max.message.bytes", "5000")]).await;
    let bootstrap = shop.kafka.bootstrap();
    let config = Config::new(&format!(
        "[[outbox]]\nurl = \"{}\"\n[[outbox.relay]]\nname = \"{RELAY}\"\n\
         to = {{ kafka = {{ bootstrap = \"{bootstrap}\", max_payload = 20000 }} }}",
        shop.url
    ));
    shop.write(0..100).await;
    let too_long = |topic: &str, bytes| Message::new(topic, "too.long").key("long").text("x".repeat(bytes));
    // One is over what the relay's file allows, one only over what the broker does; each has one of its key behind it.
    let behind = [numbered(&shop.topic, "long", 1), numbered(&small, "long", 1)];
    shop.enqueue([too_long(&shop.topic, 20_001), too_long(&small, 6_000)].into_iter().chain(behind).collect()).await;
    shop.write(100..200).await;
    let mut relay = config.active_relay().await;
    let dead = "select coalesce(string_agg(d.reason, '; ' order by m.seq), '') from outbox_dead_letter d join \
                outbox_message m using (seq) where d.event_type = 'too.long'";
    eventually("both are given up", SOON, async || shop.text(dead).await.is_some_and(|reasons| reasons.contains("; ")))
        .await;
    shop.drained().await;
    terminate(&mut relay).await;

    let reasons = shop.text(dead).await.unwrap();
    assert!(reasons.contains("the payload is 20001 bytes, the limit is 20000"), "{reasons}");
    assert!(reasons.to_lowercase().contains("size too large"), "{reasons}");
    assert_eq!(shop.text("select count(*)::text from outbox_dead_letter").await.as_deref(), Some("2"));
    // A request that a broker refuses is sent again in parts, so some of it may come twice.
    for (topic, neighbours) in [(&shop.topic, 201), (&small, 1)] {
        let records = shop.kafka.consume(topic).await;
        assert!(records.iter().all(|r| r.header("event-type") == Some("order.changed")), "{records:?}");
        let ids: HashSet<_> = records.iter().map(|r| r.header("message-id")).collect();
        assert_eq!(ids.len(), neighbours, "{topic}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_is_refused_for_one_message_lets_no_later_one_pass() {
    let mut shop = Shop::open().await;
    shop.topic = shop.kafka.topic_with("narrow", 1, &[("max.message.bytes", "500000")]).await;
    let mut messages: Vec<Message> = (1..=8_000).map(|n| numbered(&shop.topic, &format!("k{}", n % 10), n)).collect();
    // Within what the relay allows, not within what the broker does: its request takes others along.
    let too_long = Message::new(&shop.topic, "too.long").key("long").text("x".repeat(600_000));
    let too_long_id = too_long.id.to_string();
    messages.insert(20, too_long);
    shop.enqueue(messages).await;
    let mut relay = shop.config("").active_relay().await;
    eventually("it is given up", SOON, async || {
        shop.text("select count(*)::text from outbox_dead_letter").await.as_deref() == Some("1")
    })
    .await;
    shop.drained().await;
    terminate(&mut relay).await;
    let stored: Vec<_> = shop.stored().await.into_iter().filter(|(id, ..)| *id != too_long_id).collect();
    let verdict = judge(&stored, [], &shop.records().await);
    println!("{verdict}");
    assert_eq!(verdict.committed, 8_000);
    // A few clients are thrown away until it is known which message it is.
    verdict.assert_clean(3 * 8_000);
}
