//! Writers and relays through a real PgBouncer in transaction mode.
#![cfg(feature = "postgres")]

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use outbox_core::memory::MemoryTransport;
use outbox_core::{Message, Relay, RelayError, Store, StoreRelay};
use outbox_sqlx::Postgres;
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use testkit::PgBouncer;
use tokio::time::timeout;
use tracing::subscriber::DefaultGuard;

const SOON: Duration = Duration::from_secs(60);
/// So many connections of its own the pooler opens to a database.
const BEHIND: u32 = 20;

struct Pooled {
    _bouncer: PgBouncer,
    /// Of the server itself.
    direct: String,
    through: String,
    pool: PgPool,
}

async fn start() -> Pooled {
    let server = testkit::Postgres::shared().await;
    let bouncer = PgBouncer::before(&server).await;
    let direct = server.database().await;
    let through = bouncer.through(&direct);
    let pool = PgPoolOptions::new().max_connections(2 * BEHIND).connect(&through).await.expect("through the pooler");
    Pooled { _bouncer: bouncer, direct, through, pool }
}

async fn write(outbox: &Postgres, pool: &PgPool, count: usize) {
    let mut tx = pool.begin().await.unwrap();
    let all = (0..count).map(|n| Message::new("t", "e").key(n % 7).text(n.to_string()));
    outbox.enqueue_all(&mut tx, all).await.unwrap();
    outbox.commit(tx).await.unwrap();
}

/// What is logged on this thread, and so in this test's runtime.
#[derive(Clone, Default)]
struct Logged(Arc<Mutex<Vec<u8>>>);

impl io::Write for Logged {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(text);
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Logged {
    fn start() -> (Self, DefaultGuard) {
        let logged = Self::default();
        let to = logged.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(move || to.clone())
            .with_ansi(false)
            .with_max_level(tracing::Level::WARN);
        (logged, tracing::subscriber::set_default(subscriber.finish()))
    }

    fn count(&self, words: &str) -> usize {
        String::from_utf8_lossy(&self.0.lock().unwrap()).matches(words).count()
    }
}

#[tokio::test]
async fn everything_works_and_polling_only_is_said_at_start() {
    let (logged, _guard) = Logged::start();
    let pooled = start().await;
    let outbox = Postgres::new();
    outbox.migrate(&pooled.pool).await.expect("migrated through the pooler");
    assert_eq!(logged.count("pooler"), 0, "only a relay needs to know");
    write(&outbox, &pooled.pool, 1_000).await;
    let sent = MemoryTransport::new();
    let relay =
        StoreRelay::builder("test", outbox.store(pooled.pool.clone()), sent.clone()).batch(100).build().unwrap();
    assert_eq!(relay.until_drained(SOON).await.unwrap(), 1_000);
    for (n, m) in sent.take().iter().enumerate() {
        assert_eq!(m.payload(), n.to_string().as_bytes(), "in order");
    }
    assert_eq!(relay.until_drained(SOON).await.unwrap(), 0, "nothing comes twice");
    assert_eq!(logged.count("go through a pooler"), 1, "said once");
    assert_eq!(outbox.status(&pooled.pool).await.unwrap()[0].waiting, 0);

    // One that connects to the server itself has nothing to say, and is the same relay.
    let direct = PgPool::connect(&pooled.direct).await.unwrap();
    write(&outbox, &pooled.pool, 10).await;
    let relay = StoreRelay::builder("test", outbox.store(direct), sent.clone()).build().unwrap();
    assert_eq!(relay.until_drained(SOON).await.unwrap(), 10);
    assert_eq!(logged.count("go through a pooler"), 1);
}

#[tokio::test]
async fn no_setting_is_left_to_other_clients() {
    let pooled = start().await;
    let outbox = Postgres::new();
    outbox.migrate(&pooled.pool).await.unwrap();
    // All connections of the pooler are there, and the relay's statements meet any of them.
    let settings = "select (concat_ws(' ', current_setting('synchronous_commit'), current_setting('enable_seqscan'), \
        current_setting('enable_sort'), current_setting('jit'), current_setting('plan_cache_mode'), \
        current_setting('default_transaction_isolation')))";
    let usual: String =
        sqlx::query_scalar(settings).fetch_one(&PgPool::connect(&pooled.direct).await.unwrap()).await.unwrap();
    assert!(usual.starts_with("on on on"), "{usual}");
    let sent = MemoryTransport::new();
    let relay = StoreRelay::builder("test", outbox.store(pooled.pool.clone()), sent.clone()).batch(50).build().unwrap();
    for round in 0..3 {
        write(&outbox, &pooled.pool, 500).await;
        assert_eq!(relay.until_drained(SOON).await.unwrap(), 500);
        let mut all = Vec::new();
        for _ in 0..BEHIND {
            let mut tx = pooled.pool.begin().await.unwrap();
            let found: String = sqlx::query_scalar(settings).fetch_one(&mut *tx).await.unwrap();
            assert_eq!(found, usual, "round {round}");
            all.push(tx);
        }
    }
}

#[tokio::test]
async fn a_lease_is_fenced_and_handed_over_through_the_pooler() {
    let pooled = start().await;
    let outbox = Postgres::new();
    outbox.migrate(&pooled.pool).await.unwrap();
    let direct = PgPool::connect(&pooled.direct).await.unwrap();
    let sent = MemoryTransport::new();
    let build = |pool: &PgPool| StoreRelay::builder("test", outbox.store(pool.clone()), sent.clone()).build().unwrap();
    let (first, second) = (build(&pooled.pool), build(&direct));
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let running = tokio::spawn({
        let first = first.clone();
        async move { first.run(async move { _ = stopped.await }).await }
    });
    testkit::eventually("the first has the lease", SOON, || async { first.handle().stats().active }).await;
    assert!(matches!(second.run_once().await.expect_err("stands by"), RelayError::Standby { .. }));
    write(&outbox, &pooled.pool, 100).await;
    testkit::eventually("delivered", SOON, || async { first.handle().stats().delivered == 100 }).await;
    // Somebody takes the lease away: its statements change nothing from now on, and it begins anew.
    outbox.reset(&direct, "test").await.unwrap();
    testkit::eventually("acquired anew", SOON, || async { first.handle().stats().delivered == 200 }).await;
    stop.send(()).unwrap();
    running.await.unwrap().expect("drained");
    write(&outbox, &direct, 5).await;
    assert_eq!(second.until_drained(SOON).await.expect("at once"), 5);
}

#[tokio::test]
async fn a_doorbell_through_the_pooler_rings_but_is_not_heard() {
    let (logged, _guard) = Logged::start();
    let pooled = start().await;
    let writer = Postgres::new().doorbell(&pooled.through).unwrap();
    writer.migrate(&pooled.pool).await.unwrap();
    // Heard by those who listen directly.
    let direct = Postgres::new().doorbell(&pooled.direct).unwrap();
    let mut wakeups = direct.store(pooled.pool.clone()).wakeups().unwrap();
    let listening = "select count(*) from pg_stat_activity where datname = current_database() and query like 'LISTEN%'";
    testkit::eventually("it listens", SOON, || async {
        sqlx::query_scalar::<_, i64>(listening).fetch_one(&pooled.pool).await.unwrap() == 1
    })
    .await;
    while timeout(Duration::from_millis(700), wakeups.wait()).await.is_ok() {}
    write(&writer, &pooled.pool, 1).await;
    timeout(SOON, wakeups.wait()).await.expect("heard");
    assert_eq!(logged.count("not heard"), 0);

    // Whoever listens through the pooler learns that it is of no use, and goes on by polling.
    let deaf = Postgres::new().doorbell(&pooled.through).unwrap();
    let sent = MemoryTransport::new();
    let relay = StoreRelay::builder("test", deaf.store(pooled.pool.clone()), sent.clone()).build().unwrap();
    let running = tokio::spawn({
        let relay = relay.clone();
        async move { relay.run(std::future::pending()).await }
    });
    testkit::eventually("warned", SOON, || async { logged.count("give `doorbell` a direct URL") == 1 }).await;
    write(&writer, &pooled.pool, 10).await;
    testkit::eventually("delivered", SOON, || async { relay.handle().stats().delivered == 11 }).await;
    running.abort();
}
