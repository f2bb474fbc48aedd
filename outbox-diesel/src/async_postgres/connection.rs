use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use diesel::ConnectionResult;
use diesel_async::{AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};
use futures_util::TryStreamExt;
use futures_util::future::BoxFuture;
use outbox_core::{StoreError, async_trait};
use outbox_sql::{Connection, Dialect, Driver, Rows, Value};

use crate::error;
use crate::pg::{judge, marked, refuses_mark, seen, statement};
use crate::rows::{Columns, Found};

/// Opens a connection to a URL.
pub(super) type Connect = dyn Fn(String) -> BoxFuture<'static, ConnectionResult<AsyncPgConnection>> + Send + Sync;

/// Opens connections to a URL.
pub(super) struct AsyncPgDriver {
    url: String,
    marked: Option<String>,
    connect: Arc<Connect>,
    /// Whether a pooler is still to be spoken of.
    announce: AtomicBool,
}

impl AsyncPgDriver {
    pub(super) fn new(url: &str, connect: &Arc<Connect>) -> Self {
        Self { url: url.to_owned(), marked: marked(url), connect: connect.clone(), announce: AtomicBool::new(false) }
    }

    /// For a relay: says it, once, when its connections go through a pooler.
    pub(super) fn announcing(self) -> Self {
        Self { announce: AtomicBool::new(true), ..self }
    }
}

impl fmt::Debug for AsyncPgDriver {
    /// Without the URL: it holds the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AsyncPgDriver")
    }
}

pub(super) fn map(e: diesel::result::Error) -> StoreError {
    error::map(e, judge)
}

/// Runs a statement on the caller's connection.
pub(super) async fn ask(
    conn: &mut AsyncPgConnection,
    sql: &str,
    params: Vec<Value>,
) -> Result<Vec<Vec<Value>>, StoreError> {
    let rows: Vec<Columns> = statement(sql, params).load(conn).await.map_err(map)?;
    Ok(rows.into_iter().map(|row| row.0).collect())
}

#[async_trait]
impl Driver for AsyncPgDriver {
    fn dialect(&self) -> Dialect {
        Dialect::Postgres
    }

    async fn connect(&self) -> Result<Box<dyn Connection>, StoreError> {
        let mut opened = (self.connect)(self.marked.as_ref().unwrap_or(&self.url).clone()).await;
        if self.marked.is_some() && opened.as_ref().is_err_and(refuses_mark) {
            opened = (self.connect)(self.url.clone()).await;
        }
        let conn = Box::new(AsyncPgConn(opened.map_err(|e| error::connect(e, judge))?));
        if self.marked.is_some() { seen(conn, &self.announce).await } else { Ok(conn) }
    }
}

struct AsyncPgConn(AsyncPgConnection);

impl fmt::Debug for AsyncPgConn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AsyncPgConn")
    }
}

#[async_trait]
impl Connection for AsyncPgConn {
    async fn query(&mut self, sql: &str, params: &[Value]) -> Result<Vec<Vec<Value>>, StoreError> {
        ask(&mut self.0, sql, params.to_vec()).await
    }

    async fn messages(&mut self, sql: &str, params: &[Value], into: &mut Rows) -> Result<(), StoreError> {
        let mut found = statement(sql, params.to_vec()).load_stream::<Found>(&mut self.0).await.map_err(map)?;
        while let Some(row) = found.try_next().await.map_err(map)? {
            row.add_to(into);
            if into.is_full() {
                break;
            }
        }
        Ok(())
    }

    async fn script(&mut self, sql: &str) -> Result<(), StoreError> {
        self.0.batch_execute(sql).await.map_err(map)
    }
}
