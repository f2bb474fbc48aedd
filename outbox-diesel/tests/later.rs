//! Messages for later, deduplication keys and the inbox through every client of diesel.
#![cfg(all(
    feature = "postgres",
    feature = "mysql",
    feature = "sqlite",
    feature = "async-postgres",
    feature = "async-mysql"
))]

#[path = "common/file.rs"]
mod file;

use std::time::{Duration, SystemTime};

use diesel::connection::Connection;
use outbox_core::memory::MemoryTransport;
use outbox_core::{Message, MessageId, Relay, StoreErrorKind, StoreRelay};

const SOON: Duration = Duration::from_secs(20);
const HOUR: Duration = Duration::from_secs(3_600);

/// Not anyhow's own: the closure's error has to be known.
type Done<T> = Result<T, anyhow::Error>;

fn whole() -> Message {
    let message = Message::new("t", "whole").key("k").payload(vec![0, 39, 92, 255]).content_type("x/y");
    message.header("a", "ü'\\")
}

/// A test on a handle of `$outbox`, whose connections `$open` makes and whose transactions `$begin` begins; with
/// `async` and `await` where they are needed.
macro_rules! client {
    ($test:ident, $outbox:expr, $url:expr, $open:expr, $begin:ident $(, $asy:tt, $aw:tt)?) => {
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $test() {
            let (outbox, place) = ($outbox, $url);
            let (open, url) = ($open, place.url().to_owned());
            outbox.migrate(&url).await.expect("migrated");
            let mut conn = open(&place)$(.$aw)?;
            let inbox = outbox.inbox().window(HOUR).expect("within the bounds");
            let (known, received) = (MessageId::new(), MessageId::new());

            let error = outbox.cancel(&mut conn, known)$(.$aw)?.expect_err("no transaction");
            assert_eq!(error.kind(), StoreErrorKind::NotInTransaction);
            let error = inbox.first_time(&mut conn, "c", received)$(.$aw)?.expect_err("no transaction");
            assert_eq!(error.kind(), StoreErrorKind::NotInTransaction);
            let window = outbox.clone().dedup_window(Duration::ZERO);
            assert_eq!(window.expect_err("too short").kind(), StoreErrorKind::Config);

            // Nothing is left of what was rolled back.
            let undone = conn.$begin::<(), anyhow::Error, _>($($asy)? |conn| {
                outbox.enqueue(conn, whole().deliver_after(HOUR).dedup_key("a"))$(.$aw)??;
                assert!(inbox.first_time(conn, "c", received)$(.$aw)??);
                anyhow::bail!("changed its mind")
            })$(.$aw)?;
            assert_eq!(undone.expect_err("rolled back").to_string(), "changed its mind");

            let mixed = vec![
                Message::new("t", "now"),
                whole().id(known).deliver_at(SystemTime::now() - HOUR).dedup_key("a"),
                Message::new("t", "never").dedup_key("a"),
                Message::new("t", "cancelled").deliver_after(HOUR).dedup_key("b"),
                Message::new("t", "later").deliver_after(HOUR),
            ];
            let id = mixed[3].id;
            let again = conn.$begin::<_, anyhow::Error, _>($($asy)? |conn| {
                assert_eq!(outbox.enqueue_all(conn, mixed)$(.$aw)??, 4);
                assert!(inbox.first_time(conn, "c", received)$(.$aw)??);
                assert!(!inbox.first_time(conn, "c", received)$(.$aw)??);
                Ok(outbox.enqueue(conn, Message::new("t", "never").dedup_key("a"))$(.$aw)??)
            })$(.$aw)?;
            assert_eq!(again.expect("committed"), known);

            let cancelled: Done<(bool, bool)> = conn.$begin::<_, anyhow::Error, _>($($asy)? |conn| {
                Ok((outbox.cancel(conn, id)$(.$aw)??, outbox.cancel(conn, id)$(.$aw)??))
            })$(.$aw)?;
            assert_eq!(cancelled.expect("committed"), (true, false));
            let free: Done<MessageId> = conn.$begin::<_, anyhow::Error, _>($($asy)? |conn| {
                assert!(!inbox.first_time(conn, "c", received)$(.$aw)??);
                assert!(inbox.first_time(conn, "another", received)$(.$aw)??);
                Ok(outbox.enqueue(conn, Message::new("t", "free").dedup_key("b"))$(.$aw)??)
            })$(.$aw)?;
            let free = free.expect("committed");
            assert_ne!(free, id);

            let to = MemoryTransport::new();
            let relay = StoreRelay::builder("test", outbox.store(&url), to.clone()).build().expect("valid settings");
            relay.until_drained(SOON).await.expect("drained");
            let mut sent = to.take();
            sent.sort_by_key(|m| m.event_type().to_owned());
            let names: Vec<&str> = sent.iter().map(|m| m.event_type()).collect();
            assert_eq!(names, ["free", "now", "whole"]);
            let m = whole();
            assert_eq!((sent[2].id(), sent[2].payload(), sent[2].key()), (known, &m.payload[..], Some("k")));
            assert_eq!((sent[2].content_type(), sent[2].headers()), (m.content_type.as_deref(), &m.headers[..]));
            assert_eq!(inbox.prune(&url).await.expect("pruned"), 0);
            let late: Done<bool> =
                conn.$begin::<_, anyhow::Error, _>($($asy)? |conn| Ok(outbox.cancel(conn, known)$(.$aw)??))$(.$aw)?;
            assert!(!late.expect("committed"), "it has moved");
        }
    };
}

/// Where tables are; it goes with the test.
trait Place {
    fn url(&self) -> &str;
}

impl Place for String {
    fn url(&self) -> &str {
        self
    }
}

impl Place for file::File {
    fn url(&self) -> &str {
        Self::url(self)
    }
}

fn open<C: Connection>(place: &impl Place) -> C {
    C::establish(place.url()).expect("a connection")
}

async fn open_async<C: diesel_async::AsyncConnection>(place: &impl Place) -> C {
    C::establish(place.url()).await.expect("a connection")
}

async fn postgres() -> String {
    testkit::Postgres::shared().await.database().await
}

async fn mysql() -> String {
    testkit::Mysql::mysql().await.database().await
}

async fn mariadb() -> String {
    testkit::Mysql::mariadb().await.database().await
}

mod blocking {
    use diesel::{MysqlConnection, PgConnection, SqliteConnection};
    use outbox_diesel::{Mysql, Postgres, Sqlite};

    use super::*;

    client!(on_postgres, Postgres::new(), postgres().await, open::<PgConnection>, transaction);
    client!(on_mysql, Mysql::new(), mysql().await, open::<MysqlConnection>, transaction);
    client!(on_mariadb, Mysql::new(), mariadb().await, open::<MysqlConnection>, transaction);

    #[test]
    fn an_inbox_is_pruned_without_a_runtime() {
        let (file, outbox) = (file::File::new(), Sqlite::new());
        outbox.migrate_blocking(file.url()).expect("migrated");
        assert_eq!(outbox.inbox().prune_blocking(file.url()).expect("pruned"), 0);
    }

    fn wait(file: &file::File) -> SqliteConnection {
        file.open(SOON)
    }

    client!(on_sqlite, Sqlite::new(), file::File::new(), wait, immediate_transaction);
}

mod asynchronous {
    use diesel_async::{AsyncConnection, AsyncMysqlConnection, AsyncPgConnection};
    use outbox_diesel::{AsyncMysql, AsyncPostgres};

    use super::*;

    client!(
        on_postgres,
        AsyncPostgres::new(),
        postgres().await,
        open_async::<AsyncPgConnection>,
        transaction,
        async,
        await
    );
    client!(on_mysql, AsyncMysql::new(), mysql().await, open_async::<AsyncMysqlConnection>, transaction, async, await);
    client!(
        on_mariadb,
        AsyncMysql::new(),
        mariadb().await,
        open_async::<AsyncMysqlConnection>,
        transaction,
        async,
        await
    );
}
