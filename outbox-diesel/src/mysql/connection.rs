use std::sync::Arc;

use diesel::connection::{DefaultLoadingMode, SimpleConnection};
use diesel::{Connection as _, MysqlConnection, RunQueryDsl};
use outbox_core::{StoreError, async_trait};
use outbox_sql::{Connection, Dialect, Driver, Rows, Value, literals};

use crate::error;
use crate::my::{gives_rows, judge};
use crate::rows::{Columns, Found};
use crate::statement::Statement;
use crate::worker::{Threads, Worker};

/// Opens connections to a URL.
pub(super) struct MysqlDriver {
    url: Arc<str>,
    threads: Threads,
}

impl std::fmt::Debug for MysqlDriver {
    /// Without the URL: it holds the password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MysqlDriver")
    }
}

impl MysqlDriver {
    pub(super) fn new(url: &str, threads: &Threads) -> Self {
        Self { url: url.into(), threads: threads.clone() }
    }
}

pub(super) fn map(e: diesel::result::Error) -> StoreError {
    error::map(e, judge)
}

/// Runs a statement on the caller's connection.
pub(super) fn ask(conn: &mut MysqlConnection, sql: &str, params: &[Value]) -> Result<Vec<Vec<Value>>, StoreError> {
    let sql = literals(sql, params);
    if !gives_rows(&sql) {
        // Not as a script: diesel has to see a deadlock, which ends the transaction.
        return Statement::once(&sql).execute(conn).map(|_| Vec::new()).map_err(map);
    }
    let rows: Vec<Columns> = Statement::once(&sql).load(conn).map_err(map)?;
    Ok(rows.into_iter().map(|row| row.0).collect())
}

#[async_trait]
impl Driver for MysqlDriver {
    fn dialect(&self) -> Dialect {
        Dialect::Mysql
    }

    async fn connect(&self) -> Result<Box<dyn Connection>, StoreError> {
        let url = self.url.clone();
        let open = move || MysqlConnection::establish(&url).map_err(|e| error::connect(e, judge));
        Ok(Box::new(MysqlConn(Worker::start(&self.threads, open).await?)))
    }
}

#[derive(Debug)]
struct MysqlConn(Worker<MysqlConnection>);

#[async_trait]
impl Connection for MysqlConn {
    async fn query(&mut self, sql: &str, params: &[Value]) -> Result<Vec<Vec<Value>>, StoreError> {
        let sql = literals(sql, params);
        let query = move |conn: &mut MysqlConnection| {
            if !gives_rows(&sql) {
                return conn.batch_execute(&sql).map(|()| Vec::new()).map_err(map);
            }
            let rows: Vec<Columns> = Statement::once(&sql).load(conn).map_err(map)?;
            Ok(rows.into_iter().map(|row| row.0).collect())
        };
        self.0.run(query).await
    }

    async fn messages(&mut self, sql: &str, params: &[Value], into: &mut Rows) -> Result<(), StoreError> {
        let (sql, mut rows) = (literals(sql, params), std::mem::take(into));
        let fetch = move |conn: &mut MysqlConnection| {
            let found = Statement::once(&sql).load_iter::<Found, DefaultLoadingMode>(conn).map_err(map)?;
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
