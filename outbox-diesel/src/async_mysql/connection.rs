use std::fmt;
use std::sync::Arc;

use diesel::ConnectionResult;
use diesel_async::{AsyncMysqlConnection, RunQueryDsl, SimpleAsyncConnection};
use futures_util::TryStreamExt;
use futures_util::future::BoxFuture;
use outbox_core::{StoreError, async_trait};
use outbox_sql::{Connection, Dialect, Driver, Rows, Value, literals};

use crate::error;
use crate::my::{gives_rows, judge};
use crate::rows::{Columns, Found};
use crate::statement::Statement;

/// Opens a connection to a URL.
pub(super) type Connect = dyn Fn(String) -> BoxFuture<'static, ConnectionResult<AsyncMysqlConnection>> + Send + Sync;

/// Opens connections to a URL.
pub(super) struct AsyncMysqlDriver {
    pub(super) url: String,
    pub(super) connect: Arc<Connect>,
}

impl fmt::Debug for AsyncMysqlDriver {
    /// Without the URL: it holds the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AsyncMysqlDriver")
    }
}

pub(super) fn map(e: diesel::result::Error) -> StoreError {
    error::map(e, judge)
}

/// Runs a statement on the caller's connection.
pub(super) async fn ask(
    conn: &mut AsyncMysqlConnection,
    sql: &str,
    params: &[Value],
) -> Result<Vec<Vec<Value>>, StoreError> {
    let sql = literals(sql, params);
    if !gives_rows(&sql) {
        // Not as a script: diesel has to see a deadlock, which ends the transaction.
        return Statement::once(&sql).execute(conn).await.map(|_| Vec::new()).map_err(map);
    }
    let rows: Vec<Columns> = Statement::once(&sql).load(conn).await.map_err(map)?;
    Ok(rows.into_iter().map(|row| row.0).collect())
}

#[async_trait]
impl Driver for AsyncMysqlDriver {
    fn dialect(&self) -> Dialect {
        Dialect::Mysql
    }

    async fn connect(&self) -> Result<Box<dyn Connection>, StoreError> {
        let conn = (self.connect)(self.url.clone()).await.map_err(|e| error::connect(e, judge))?;
        Ok(Box::new(AsyncMysqlConn(conn)))
    }
}

struct AsyncMysqlConn(AsyncMysqlConnection);

impl fmt::Debug for AsyncMysqlConn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AsyncMysqlConn")
    }
}

#[async_trait]
impl Connection for AsyncMysqlConn {
    async fn query(&mut self, sql: &str, params: &[Value]) -> Result<Vec<Vec<Value>>, StoreError> {
        let sql = literals(sql, params);
        if !gives_rows(&sql) {
            return self.0.batch_execute(&sql).await.map(|()| Vec::new()).map_err(map);
        }
        let rows: Vec<Columns> = Statement::once(&sql).load(&mut self.0).await.map_err(map)?;
        Ok(rows.into_iter().map(|row| row.0).collect())
    }

    async fn messages(&mut self, sql: &str, params: &[Value], into: &mut Rows) -> Result<(), StoreError> {
        let mut found = Statement::once(&literals(sql, params)).load_stream::<Found>(&mut self.0).await.map_err(map)?;
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
