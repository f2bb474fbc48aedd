use std::sync::Arc;

use futures_util::TryStreamExt;
use outbox_core::{Row as MessageRow, StoreError, async_trait};
use outbox_sql::{Connection, Dialect, Driver, Rows, Value};
use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteConnectOptions, SqliteRow};
use sqlx::{AssertSqlSafe, ConnectOptions, Row, SqliteConnection, SqlitePool, TypeInfo, ValueRef};
use uuid::Uuid;

use super::kind;
use crate::error;

/// Opens connections with the options of a pool.
#[derive(Debug)]
pub(super) struct SqliteDriver(Arc<SqliteConnectOptions>);

impl SqliteDriver {
    pub(super) fn of(pool: &SqlitePool) -> Self {
        Self(pool.connect_options())
    }
}

pub(super) fn map(e: sqlx::Error) -> StoreError {
    error::map(e, kind)
}

#[async_trait]
impl Driver for SqliteDriver {
    fn dialect(&self) -> Dialect {
        Dialect::Sqlite
    }

    async fn connect(&self) -> Result<Box<dyn Connection>, StoreError> {
        let options = (*self.0).clone().disable_statement_logging();
        let conn = options.connect().await.map_err(|e| map(e).during("connect"))?;
        Ok(Box::new(SqliteConn(conn)))
    }
}

#[derive(Debug)]
struct SqliteConn(SqliteConnection);

fn bind<'q>(sql: &str, params: &'q [Value]) -> Query<'q, sqlx::Sqlite, SqliteArguments> {
    params.iter().fold(sqlx::query(AssertSqlSafe(sql.to_owned())), |query, param| match param {
        Value::Int(n) => query.bind(n),
        Value::Text(text) => query.bind(text.as_deref()),
        Value::Uuid(id) => query.bind(Uuid::from_u128(*id).to_string()),
        Value::Bytes(bytes) => query.bind(bytes),
        Value::Ints(list) => query.bind(json(list)),
    })
}

fn json(list: &[i64]) -> String {
    let numbers: Vec<String> = list.iter().map(i64::to_string).collect();
    format!("[{}]", numbers.join(","))
}

/// Runs a statement on any connection, also on the caller's.
pub(super) async fn ask(
    conn: &mut SqliteConnection,
    sql: &str,
    params: &[Value],
) -> Result<Vec<Vec<Value>>, StoreError> {
    let rows = bind(sql, params).fetch_all(conn).await.map_err(map)?;
    rows.iter().map(|row| (0..row.len()).map(|i| column(row, i)).collect()).collect::<Result<_, _>>().map_err(map)
}

#[async_trait]
impl Connection for SqliteConn {
    async fn query(&mut self, sql: &str, params: &[Value]) -> Result<Vec<Vec<Value>>, StoreError> {
        ask(&mut self.0, sql, params).await
    }

    async fn messages(&mut self, sql: &str, params: &[Value], into: &mut Rows) -> Result<(), StoreError> {
        let mut rows = bind(sql, params).fetch(&mut self.0);
        while let Some(row) = rows.try_next().await.map_err(map)? {
            decode(&row, into).map_err(map)?;
            if into.is_full() {
                break;
            }
        }
        Ok(())
    }

    async fn script(&mut self, sql: &str) -> Result<(), StoreError> {
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut self.0).await.map_err(map)?;
        Ok(())
    }
}

fn column(row: &SqliteRow, i: usize) -> Result<Value, sqlx::Error> {
    let value = row.try_get_raw(i)?;
    match value.type_info().name() {
        "INTEGER" | "BOOLEAN" => row.try_get(i).map(Value::Int),
        "TEXT" => row.try_get(i).map(Value::Text),
        _ if value.is_null() => Ok(Value::Int(None)),
        _ => row.try_get(i).map(Value::Int),
    }
}

fn decode(row: &SqliteRow, into: &mut Rows) -> Result<(), sqlx::Error> {
    let seq: i64 = row.try_get(0)?;
    let Some(id) = row.try_get::<Option<&[u8]>, _>(1)? else {
        into.note(seq, row.try_get(2)?, row.try_get(3)?);
        return Ok(());
    };
    let id = <[u8; 16]>::try_from(id).map_err(|e| sqlx::Error::Decode(e.into()))?;
    into.message(&MessageRow {
        seq,
        id: u128::from_be_bytes(id),
        created_at: row.try_get(8)?,
        topic: &text(row, 2)?.unwrap_or_default(),
        key: text(row, 3)?.as_deref(),
        event_type: &text(row, 4)?.unwrap_or_default(),
        payload: row.try_get(5)?,
        content_type: text(row, 6)?.as_deref(),
        headers: text(row, 7)?.as_deref(),
    });
    Ok(())
}

/// SQLite checks neither types nor UTF-8: what another writer got wrong must not stop the relay.
fn text(row: &SqliteRow, i: usize) -> Result<Option<std::borrow::Cow<'_, str>>, sqlx::Error> {
    Ok(row.try_get::<Option<&[u8]>, _>(i)?.map(String::from_utf8_lossy))
}
