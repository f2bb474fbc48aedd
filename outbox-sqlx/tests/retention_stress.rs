//! Retention under concurrent writers and takeovers loses nothing that a relay name has not settled.
#![cfg(feature = "postgres")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use outbox_conformance::{Expected, Ledger};
use outbox_core::memory::MemoryTransport;
use outbox_core::{Message, Relay, StoreRelay};
use outbox_sqlx::Postgres;
use sqlx::PgPool;

const WRITERS: u64 = 8;
const TRANSACTIONS: u64 = 120;
const KEYS: u64 = 12;
const NAMES: [&str; 2] = ["a", "b"];
const SOON: Duration = Duration::from_secs(120);

struct Load {
    outbox: Postgres,
    pool: PgPool,
    ledgers: [Ledger; 2],
    /// The place of the next message within each key; a key's lock is held while it is read.
    next: [AtomicU64; KEYS as usize],
    written: AtomicU64,
    done: AtomicBool,
}

impl Load {
    /// Overlapping transactions of one or two keys; every eighth is rolled back.
    async fn write(&self, writer: u64) {
        for i in 0..TRANSACTIONS {
            let first = (writer * 7 + i * 5) % KEYS;
            let mut keys = vec![first, (first + i % 3) % KEYS];
            keys.sort_unstable();
            keys.dedup();
            let mut tx = self.pool.begin().await.expect("begun");
            let mut messages = Vec::new();
            for key in keys {
                sqlx::query("select pg_advisory_xact_lock($1)")
                    .bind(key as i64)
                    .execute(&mut *tx)
                    .await
                    .expect("locked");
                for _ in 0..=i % 4 {
                    let order = self.next[key as usize].fetch_add(1, Ordering::SeqCst);
                    let message = Message::new("t", "e").key(key).text(format!("{key} {order}"));
                    messages.push((message.id, message.payload.clone(), key, order));
                    self.outbox.enqueue(&mut tx, message).await.expect("enqueued");
                }
            }
            let pause = (writer * 13 + i * 29) % 23;
            sqlx::query("select pg_sleep($1)").bind(pause as f64 / 1_000.0).execute(&mut *tx).await.expect("waited");
            if i % 8 == writer % 8 {
                tx.rollback().await.expect("rolled back");
                continue;
            }
            // Told before it can be received.
            for (id, payload, key, order) in &messages {
                for ledger in &self.ledgers {
                    ledger.committed(&Expected::new(id, payload).key(key.to_string()).order(*order));
                }
            }
            tx.commit().await.expect("committed");
            self.written.fetch_add(messages.len() as u64, Ordering::SeqCst);
        }
    }

    /// A relay whose process is gone now and then, until the writers are done; then it delivers the rest.
    async fn relay(&self, name: &str, to: &MemoryTransport) -> u64 {
        let build = || {
            StoreRelay::builder(name, self.outbox.store(self.pool.clone()), to.clone()).batch(50).window(400, 1 << 20)
        };
        let (mut takeovers, mut seen) = (0, 0);
        while !self.done.load(Ordering::SeqCst) {
            // The same owner, so that its lease can be taken over at once.
            let relay = build().owner(7).build().expect("valid settings");
            let running = tokio::spawn({
                let relay = relay.clone();
                async move { relay.run(std::future::pending()).await }
            });
            seen += 150;
            let goal = || async { self.written.load(Ordering::SeqCst) >= seen || self.done.load(Ordering::SeqCst) };
            testkit::eventually("the writers go on", SOON, goal).await;
            running.abort();
            _ = running.await;
            takeovers += 1;
        }
        build().owner(7).build().expect("valid settings").until_drained(SOON).await.expect("drained");
        takeovers
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_is_not_settled_is_deleted() {
    let pool = PgPool::connect(&testkit::Postgres::shared().await.database().await).await.expect("a database");
    let outbox = Postgres::new().keep_forever();
    outbox.migrate(&pool).await.expect("migrated");
    // Both names are there before anything can be deleted: a new one starts with what is kept.
    for name in NAMES {
        let relay = StoreRelay::builder(name, outbox.store(pool.clone()), MemoryTransport::new()).owner(7);
        relay.build().unwrap().until_drained(SOON).await.expect("drained");
    }
    let ledgers = [Ledger::new(), Ledger::new()];
    let (next, written, done) = (Default::default(), AtomicU64::new(0), AtomicBool::new(false));
    let load = Arc::new(Load { outbox, pool, ledgers, next, written, done });
    let sent = [MemoryTransport::new(), MemoryTransport::new()];
    let relays: Vec<_> = (0..2)
        .map(|i| {
            let (load, to) = (load.clone(), sent[i].clone());
            tokio::spawn(async move { load.relay(NAMES[i], &to).await })
        })
        .collect();
    let retention = tokio::spawn({
        let load = load.clone();
        async move {
            let mut deleted = 0;
            while !load.done.load(Ordering::SeqCst) {
                deleted += load.outbox.retain(&load.pool, Duration::ZERO).await.expect("retained");
            }
            deleted
        }
    });
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let load = load.clone();
            tokio::spawn(async move { load.write(writer).await })
        })
        .collect();
    for writer in writers {
        writer.await.expect("a writer");
    }
    load.done.store(true, Ordering::SeqCst);
    let while_written = retention.await.expect("retention");
    let mut takeovers = Vec::new();
    for relay in relays {
        takeovers.push(relay.await.expect("a relay"));
    }
    let rest = load.outbox.retain(&load.pool, Duration::ZERO).await.expect("retained");
    let written = load.written.load(Ordering::SeqCst);
    println!("{written} written, {while_written} + {rest} deleted, takeovers {takeovers:?}");
    for (ledger, to) in load.ledgers.iter().zip(&sent) {
        for m in to.take() {
            ledger.received(m.id(), m.key(), m.payload());
        }
        let verdict = ledger.check();
        println!("{} received twice", verdict.duplicates);
        assert_eq!((verdict.lost.len(), verdict.inversions.len(), verdict.invented.len()), (0, 0, 0), "{verdict:?}");
    }
    assert_eq!(while_written + rest, written, "all that was settled");
    assert!(while_written > 0 && takeovers.iter().all(|n| *n >= 3), "it was a stress");
}
