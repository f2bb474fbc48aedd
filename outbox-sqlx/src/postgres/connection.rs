use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::TryStreamExt;
use outbox_core::{Row as MessageRow, StoreError, async_trait};
use outbox_sql::{Connection, Dialect, Driver, Line, Pooled, Rows, Value};
use sqlx::postgres::{PgArguments, PgConnectOptions, PgRow, PgValueRef};
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, Column, ConnectOptions, PgConnection, PgPool, Row, TypeInfo, ValueRef};
use uuid::Uuid;

use super::doorbell::PgLine;
use super::kind;
use crate::error;

/// Microseconds from 1970 to 2000, where Postgres begins to count.
const EPOCH: i64 = 946_684_800_000_000;

/// A setting that a connection is opened with. One that does not know it afterwards comes from a pooler: those refuse
/// or drop what they cannot give to every client.
const MARK: (&str, &str) = ("outbox.direct", "on");

/// Where the options of a connection come from.
enum Options {
    /// As the pool has them by then: a password may have been renewed.
    Of(PgPool),
    Fixed(Arc<PgConnectOptions>),
}

/// Opens connections with the options of a pool.
pub(super) struct PgDriver {
    options: Options,
    /// Whether connections were found to go through a pooler that refuses the mark.
    refused: AtomicBool,
    /// Whether a pooler is still to be spoken of.
    announce: AtomicBool,
}

impl std::fmt::Debug for PgDriver {
    /// Without the options: they hold the password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PgDriver")
    }
}

impl PgDriver {
    pub(super) fn of(pool: &PgPool) -> Self {
        Self { options: Options::Of(pool.clone()), refused: AtomicBool::new(false), announce: AtomicBool::new(false) }
    }

    pub(super) fn new(options: PgConnectOptions) -> Self {
        Self {
            options: Options::Fixed(options.into()),
            refused: AtomicBool::new(false),
            announce: AtomicBool::new(false),
        }
    }

    /// For a relay: says it, once, when its connections go through a pooler.
    pub(super) fn announcing(self) -> Self {
        Self { announce: AtomicBool::new(true), ..self }
    }

    fn options(&self) -> PgConnectOptions {
        let options = match &self.options {
            Options::Of(pool) => pool.connect_options(),
            Options::Fixed(options) => options.clone(),
        };
        (*options).clone()
    }

    /// A connection, and whether it is one of the server's own.
    async fn open(&self) -> Result<(PgConnection, bool), sqlx::Error> {
        let options = self.options().disable_statement_logging();
        if self.refused.load(Ordering::Relaxed) {
            return Ok((options.connect().await?, false));
        }
        match options.clone().options([MARK]).connect().await {
            Ok(mut conn) => {
                let seen = AssertSqlSafe(format!("select current_setting('{}', true)", MARK.0));
                let row = sqlx::raw_sql(seen).fetch_one(&mut conn).await?;
                let direct = row.try_get::<Option<String>, _>(0)?.as_deref() == Some(MARK.1);
                Ok((conn, direct))
            }
            // PgBouncer names everything it does not like a protocol violation, so only the second attempt tells.
            Err(sqlx::Error::Database(e)) if matches!(e.code().as_deref(), Some("08P01" | "0A000")) => {
                let conn = options.connect().await?;
                self.refused.store(true, Ordering::Relaxed);
                Ok((conn, false))
            }
            Err(e) => Err(e),
        }
    }
}

pub(super) fn map(e: sqlx::Error) -> StoreError {
    error::map(e, |code, _| kind(code))
}

#[async_trait]
impl Driver for PgDriver {
    fn dialect(&self) -> Dialect {
        Dialect::Postgres
    }

    async fn connect(&self) -> Result<Box<dyn Connection>, StoreError> {
        let (conn, direct) = self.open().await.map_err(|e| map(e).during("connect"))?;
        let conn = Box::new(PgConn(conn));
        if direct {
            return Ok(conn);
        }
        if self.announce.swap(false, Ordering::Relaxed) {
            tracing::warn!(
                "the relay's connections go through a pooler (PgBouncer). It works there, with three round trips a \
                 statement instead of one; but nothing can be heard through a pooler in transaction mode, so messages \
                 of other processes are found by polling only: give the relay a direct URL, or `doorbell` one"
            );
        }
        Ok(Box::new(Pooled::new(conn)))
    }

    async fn listen(&self, channel: &str) -> Result<Option<Box<dyn Line>>, StoreError> {
        let line = PgLine::listen(self.options(), channel).await.map_err(|e| map(e).during("listen"))?;
        Ok(Some(Box::new(line)))
    }
}

#[derive(Debug)]
struct PgConn(PgConnection);

fn bind<'q>(sql: &str, params: &'q [Value]) -> Query<'q, sqlx::Postgres, PgArguments> {
    params.iter().fold(sqlx::query(AssertSqlSafe(sql.to_owned())), |query, param| match param {
        Value::Int(n) => query.bind(n),
        Value::Text(text) => query.bind(text.as_deref()),
        Value::Uuid(id) => query.bind(Uuid::from_u128(*id)),
        Value::Bytes(bytes) => query.bind(bytes),
        Value::Ints(list) => query.bind(list),
    })
}

/// Runs a statement on any connection, also on the caller's.
pub(super) async fn ask(conn: &mut PgConnection, sql: &str, params: &[Value]) -> Result<Vec<Vec<Value>>, StoreError> {
    let rows = bind(sql, params).fetch_all(conn).await.map_err(map)?;
    rows.iter().map(|row| (0..row.len()).map(|i| column(row, i)).collect()).collect::<Result<_, _>>().map_err(map)
}

#[async_trait]
impl Connection for PgConn {
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

fn column(row: &PgRow, i: usize) -> Result<Value, sqlx::Error> {
    match row.column(i).type_info().name() {
        "INT8" => row.try_get(i).map(Value::Int),
        _ => row.try_get(i).map(Value::Text),
    }
}

/// Reads the binary form without a copy or an allocation: the parts go straight into the arena.
fn decode(row: &PgRow, into: &mut Rows) -> Result<(), sqlx::Error> {
    let seq = int(&row.try_get_raw(0)?)?;
    let [id, topic, key] = [row.try_get_raw(1)?, row.try_get_raw(2)?, row.try_get_raw(3)?];
    if id.is_null() {
        into.note(seq, text(&topic)?, text(&key)?);
        return Ok(());
    }
    let id = <[u8; 16]>::try_from(bytes(&id)?).map_err(|e| sqlx::Error::Decode(e.into()))?;
    into.message(&MessageRow {
        seq,
        id: u128::from_be_bytes(id),
        created_at: int(&row.try_get_raw(8)?)?.saturating_add(EPOCH),
        topic: text(&topic)?.unwrap_or_default(),
        key: text(&key)?,
        event_type: text(&row.try_get_raw(4)?)?.unwrap_or_default(),
        payload: bytes(&row.try_get_raw(5)?)?,
        content_type: text(&row.try_get_raw(6)?)?,
        headers: text(&row.try_get_raw(7)?)?,
    });
    Ok(())
}

fn bytes<'r>(value: &PgValueRef<'r>) -> Result<&'r [u8], sqlx::Error> {
    value.as_bytes().map_err(sqlx::Error::Decode)
}

fn int(value: &PgValueRef<'_>) -> Result<i64, sqlx::Error> {
    let raw = <[u8; 8]>::try_from(bytes(value)?).map_err(|e| sqlx::Error::Decode(e.into()))?;
    Ok(i64::from_be_bytes(raw))
}

fn text<'r>(value: &PgValueRef<'r>) -> Result<Option<&'r str>, sqlx::Error> {
    if value.is_null() {
        return Ok(None);
    }
    value.as_str().map(Some).map_err(sqlx::Error::Decode)
}
