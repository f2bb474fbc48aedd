use std::sync::Arc;

use diesel::connection::{DefaultLoadingMode, SimpleConnection};
use diesel::deserialize::Result as Read;
use diesel::sql_types::{BigInt, Binary, Nullable, Text};
use diesel::sqlite::{Sqlite, SqliteType, SqliteValue};
use diesel::{Connection as _, RunQueryDsl, SqliteConnection};
use outbox_core::{StoreError, async_trait};
use outbox_sql::{Connection, Dialect, Driver, Rows, Value};
use uuid::Uuid;

use super::judge;
use crate::error;
use crate::rows::{Columns, Found, Raw};
use crate::statement::Statement;
use crate::worker::{Threads, Worker};

/// Opens connections to a file.
#[derive(Debug)]
pub(super) struct SqliteDriver {
    url: Arc<str>,
    threads: Threads,
}

impl SqliteDriver {
    pub(super) fn new(url: &str, threads: &Threads) -> Self {
        Self { url: url.into(), threads: threads.clone() }
    }
}

pub(super) fn map(e: diesel::result::Error) -> StoreError {
    error::map(e, judge)
}

/// Runs a statement on the caller's connection.
pub(super) fn ask(conn: &mut SqliteConnection, sql: &str, params: Vec<Value>) -> Result<Vec<Vec<Value>>, StoreError> {
    let rows: Vec<Columns> = statement(sql, params).load(conn).map_err(map)?;
    Ok(rows.into_iter().map(|row| row.0).collect())
}

#[async_trait]
impl Driver for SqliteDriver {
    fn dialect(&self) -> Dialect {
        Dialect::Sqlite
    }

    async fn connect(&self) -> Result<Box<dyn Connection>, StoreError> {
        let url = self.url.clone();
        let open = move || {
            let mut conn = SqliteConnection::establish(&url).map_err(|e| error::connect(e, judge))?;
            conn.batch_execute("pragma busy_timeout = 5000").map_err(map)?;
            Ok(conn)
        };
        Ok(Box::new(SqliteConn(Worker::start(&self.threads, open).await?)))
    }
}

#[derive(Debug)]
struct SqliteConn(Worker<SqliteConnection>);

#[async_trait]
impl Connection for SqliteConn {
    async fn query(&mut self, sql: &str, params: &[Value]) -> Result<Vec<Vec<Value>>, StoreError> {
        let (sql, params) = (sql.to_owned(), params.to_vec());
        self.0.run(move |conn| ask(conn, &sql, params)).await
    }

    async fn messages(&mut self, sql: &str, params: &[Value], into: &mut Rows) -> Result<(), StoreError> {
        let (sql, params, mut rows) = (sql.to_owned(), params.to_vec(), std::mem::take(into));
        let fetch = move |conn: &mut SqliteConnection| {
            let found = statement(&sql, params).load_iter::<Found, DefaultLoadingMode>(conn).map_err(map)?;
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

/// SQLite numbers `$1` by where it stands, and `?1` by its number. It takes no more parameters than the statement has.
fn statement(sql: &str, params: Vec<Value>) -> Statement<'static, Sqlite> {
    let mut parts = sql.split('$');
    let mut text = parts.next().unwrap_or_default().to_owned();
    let mut used = 0;
    for part in parts {
        let digits = part.find(|c: char| !c.is_ascii_digit()).unwrap_or(part.len());
        text.push(if digits > 0 { '?' } else { '$' });
        text.push_str(part);
        used = used.max(part[..digits].parse().unwrap_or(0));
    }
    params.into_iter().take(used).fold(Statement::new(&text), |statement, param| match param {
        Value::Int(n) => statement.bind::<Nullable<BigInt>, _>(n),
        Value::Text(text) => statement.bind::<Nullable<Text>, _>(text),
        Value::Uuid(id) => statement.bind::<Text, _>(Uuid::from_u128(id).to_string()),
        Value::Bytes(bytes) => statement.bind::<Binary, _>(bytes),
        Value::Ints(list) => statement.bind::<Text, _>(json(&list)),
    })
}

fn json(list: &[i64]) -> String {
    let numbers: Vec<String> = list.iter().map(i64::to_string).collect();
    format!("[{}]", numbers.join(","))
}

impl Raw for Sqlite {
    fn value(raw: Option<SqliteValue<'_, '_, '_>>) -> Read<Value> {
        match raw {
            Some(mut raw) if raw.value_type() == Some(SqliteType::Text) => Ok(Value::from(raw.read_text())),
            Some(mut raw) => Ok(Value::from(raw.read_long())),
            None => Ok(Value::Int(None)),
        }
    }

    fn int(mut raw: SqliteValue<'_, '_, '_>) -> Read<i64> {
        Ok(raw.read_long())
    }

    fn text(mut raw: SqliteValue<'_, '_, '_>) -> Read<String> {
        // SQLite checks neither types nor UTF-8: what another writer got wrong must not stop the relay.
        Ok(String::from_utf8_lossy(raw.read_blob()).into_owned())
    }

    fn bytes(mut raw: SqliteValue<'_, '_, '_>) -> Read<Vec<u8>> {
        Ok(raw.read_blob().to_vec())
    }

    fn time(raw: SqliteValue<'_, '_, '_>) -> Read<i64> {
        Self::int(raw)
    }
}
