use futures_util::TryStreamExt;
use outbox_core::{Row as MessageRow, StoreError, async_trait};
use outbox_sql::{Connection, Dialect, Driver, Rows, Value, literals};
use sqlx::mysql::{MySqlDatabaseError, MySqlRow};
use sqlx::{AssertSqlSafe, Column, ConnectOptions, MySqlConnection, MySqlPool, Row, TypeInfo};

use super::kind;
use crate::error;

/// Opens connections with the options of a pool, as it has them by then: a password may have been renewed.
pub(super) struct MysqlDriver(MySqlPool);

impl std::fmt::Debug for MysqlDriver {
    /// Without the options: they hold the password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MysqlDriver")
    }
}

impl MysqlDriver {
    pub(super) fn of(pool: &MySqlPool) -> Self {
        Self(pool.clone())
    }
}

pub(super) fn map(e: sqlx::Error) -> StoreError {
    let number = match &e {
        sqlx::Error::Database(e) => e.try_downcast_ref::<MySqlDatabaseError>().map(MySqlDatabaseError::number),
        _ => None,
    };
    let mapped = error::map(e, |state, _| kind(number.unwrap_or_default(), state));
    match number {
        Some(1049) => {
            mapped.with_detail("the database of the URL, or the one given as schema, is not there: create it")
        }
        Some(1153) => mapped.with_detail("the message is larger than the server's max_allowed_packet: raise it"),
        _ => mapped,
    }
}

#[async_trait]
impl Driver for MysqlDriver {
    fn dialect(&self) -> Dialect {
        Dialect::Mysql
    }

    async fn connect(&self) -> Result<Box<dyn Connection>, StoreError> {
        let options = (*self.0.connect_options()).clone().disable_statement_logging();
        let conn = options.connect().await.map_err(|e| map(e).during("connect"))?;
        Ok(Box::new(MysqlConn(conn)))
    }
}

/// Everything goes by the text protocol: one round trip, nothing prepared, no proxy that it would not pass.
#[derive(Debug)]
struct MysqlConn(MySqlConnection);

/// Runs a statement on any connection, also on the caller's.
pub(super) async fn ask(
    conn: &mut MySqlConnection,
    sql: &str,
    params: &[Value],
) -> Result<Vec<Vec<Value>>, StoreError> {
    let sql = sqlx::raw_sql(AssertSqlSafe(literals(sql, params)));
    let rows = sql.fetch_all(conn).await.map_err(map)?;
    rows.iter().map(|row| (0..row.len()).map(|i| column(row, i)).collect()).collect::<Result<_, _>>().map_err(map)
}

#[async_trait]
impl Connection for MysqlConn {
    async fn query(&mut self, sql: &str, params: &[Value]) -> Result<Vec<Vec<Value>>, StoreError> {
        ask(&mut self.0, sql, params).await
    }

    async fn messages(&mut self, sql: &str, params: &[Value], into: &mut Rows) -> Result<(), StoreError> {
        let mut rows = sqlx::raw_sql(AssertSqlSafe(literals(sql, params))).fetch(&mut self.0);
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

fn column(row: &MySqlRow, i: usize) -> Result<Value, sqlx::Error> {
    match row.column(i).type_info().name() {
        name if name.contains("INT") => row.try_get(i).map(Value::Int),
        "NULL" => Ok(Value::Int(None)),
        _ => row.try_get_unchecked(i).map(Value::Text),
    }
}

/// The parts go from the packet straight into the arena.
fn decode(row: &MySqlRow, into: &mut Rows) -> Result<(), sqlx::Error> {
    let seq: i64 = row.try_get(0)?;
    let Some(id) = row.try_get_unchecked::<Option<&[u8]>, _>(1)? else {
        into.note(seq, row.try_get_unchecked(2)?, row.try_get_unchecked(3)?);
        return Ok(());
    };
    let id = <[u8; 16]>::try_from(id).map_err(|e| sqlx::Error::Decode(e.into()))?;
    into.message(&MessageRow {
        seq,
        id: u128::from_be_bytes(id),
        created_at: row.try_get(8)?,
        topic: row.try_get_unchecked(2)?,
        key: row.try_get_unchecked(3)?,
        event_type: row.try_get_unchecked(4)?,
        payload: row.try_get_unchecked(5)?,
        content_type: row.try_get_unchecked(6)?,
        headers: row.try_get_unchecked(7)?,
    });
    Ok(())
}
