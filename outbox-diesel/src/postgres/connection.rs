use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use diesel::connection::SimpleConnection;
use diesel::pg::PgRowByRowLoadingMode;
use diesel::{Connection as _, PgConnection, RunQueryDsl};
use outbox_core::{StoreError, async_trait};
use outbox_sql::{Connection, Dialect, Driver, Rows, Value};

use crate::error;
use crate::pg::{judge, marked, refuses_mark, seen, statement, with_params};
use crate::rows::{Columns, Found};
use crate::worker::{Threads, Worker};

/// Seconds, but for the last, in milliseconds: so that a server that vanished is given up, and the thread that waits
/// for it.
const DEFAULTS: [&str; 5] = [
    "connect_timeout=10",
    "keepalives_idle=30",
    "keepalives_interval=10",
    "keepalives_count=3",
    "tcp_user_timeout=60000",
];

/// Opens connections to a URL.
pub(super) struct PgDriver {
    url: Arc<str>,
    marked: Option<Arc<str>>,
    threads: Threads,
    /// Whether a pooler is still to be spoken of.
    announce: AtomicBool,
}

impl std::fmt::Debug for PgDriver {
    /// Without the URL: it holds the password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PgDriver")
    }
}

impl PgDriver {
    pub(super) fn new(url: &str, threads: &Threads) -> Self {
        let url = with_params(url, &DEFAULTS);
        let marked = marked(&url).map(Arc::from);
        Self { url: url.into(), marked, threads: threads.clone(), announce: AtomicBool::new(false) }
    }

    /// For a relay: says it, once, when its connections go through a pooler.
    pub(super) fn announcing(self) -> Self {
        Self { announce: AtomicBool::new(true), ..self }
    }
}

pub(super) fn map(e: diesel::result::Error) -> StoreError {
    error::map(e, judge)
}

/// Runs a statement on the caller's connection.
pub(super) fn ask(conn: &mut PgConnection, sql: &str, params: Vec<Value>) -> Result<Vec<Vec<Value>>, StoreError> {
    let rows: Vec<Columns> = statement(sql, params).load(conn).map_err(map)?;
    Ok(rows.into_iter().map(|row| row.0).collect())
}

#[async_trait]
impl Driver for PgDriver {
    fn dialect(&self) -> Dialect {
        Dialect::Postgres
    }

    async fn connect(&self) -> Result<Box<dyn Connection>, StoreError> {
        let (url, mark) = (self.url.clone(), self.marked.clone());
        let open = move || {
            let opened = match PgConnection::establish(mark.as_deref().unwrap_or(&url)) {
                Err(e) if mark.is_some() && refuses_mark(&e) => PgConnection::establish(&url),
                opened => opened,
            };
            opened.map_err(|e| error::connect(e, judge))
        };
        let conn = Box::new(PgConn(Worker::start(&self.threads, open).await?));
        if self.marked.is_some() { seen(conn, &self.announce).await } else { Ok(conn) }
    }
}

#[derive(Debug)]
struct PgConn(Worker<PgConnection>);

#[async_trait]
impl Connection for PgConn {
    async fn query(&mut self, sql: &str, params: &[Value]) -> Result<Vec<Vec<Value>>, StoreError> {
        let (sql, params) = (sql.to_owned(), params.to_vec());
        self.0.run(move |conn| ask(conn, &sql, params)).await
    }

    async fn messages(&mut self, sql: &str, params: &[Value], into: &mut Rows) -> Result<(), StoreError> {
        let (sql, params, mut rows) = (sql.to_owned(), params.to_vec(), std::mem::take(into));
        let fetch = move |conn: &mut PgConnection| {
            // Row by row: a whole batch of large messages would be held twice.
            let found = statement(&sql, params).load_iter::<Found, PgRowByRowLoadingMode>(conn).map_err(map)?;
            for row in found {
                row.map_err(map)?.add_to(&mut rows);
                if rows.is_full() {
                    break;
                }
            }
            Ok(rows)
        };
        *into = self.0.run(fetch).await?;
        Ok(())
    }

    async fn script(&mut self, sql: &str) -> Result<(), StoreError> {
        let sql = sql.to_owned();
        self.0.run(move |conn| conn.batch_execute(&sql).map_err(map)).await
    }
}
