use anyhow::{Context, bail};
use diesel::Connection as _;
use diesel::connection::SimpleConnection;
use diesel_async::AsyncConnection;
use outbox_core::Message;
use sqlx::{AssertSqlSafe, MySqlPool, PgPool, SqlitePool};

use crate::Client;
use crate::client::sqlite_path;

macro_rules! write_sqlx {
    ($outbox:expr, $pool:expr, $messages:expr) => {{
        let mut messages = $messages.into_iter();
        let mut tx = $pool.begin().await?;
        $outbox.enqueue(&mut tx, messages.next().context("a message")?).await?;
        $outbox.enqueue_all(&mut tx, messages).await?;
        $outbox.commit(tx).await?;
    }};
}

macro_rules! write_diesel {
    ($outbox:expr, $connection:ty, $url:expr, $setup:expr, $messages:expr) => {{
        let (outbox, url, mut messages) = ($outbox, $url.to_owned(), $messages.into_iter());
        let write = move || {
            let mut conn = <$connection>::establish(&url)?;
            conn.batch_execute($setup)?;
            conn.transaction(|conn| {
                outbox.enqueue(conn, messages.next().context("a message")?)?;
                outbox.enqueue_all(conn, messages)?;
                anyhow::Ok(())
            })
        };
        tokio::task::spawn_blocking(write).await??;
    }};
}

macro_rules! write_diesel_async {
    ($outbox:expr, $connection:ty, $url:expr, $messages:expr) => {{
        let (outbox, mut messages) = ($outbox, $messages.into_iter());
        let mut conn = <$connection as AsyncConnection>::establish($url).await?;
        let written = conn.transaction(async |conn| {
            outbox.enqueue(conn, messages.next().context("a message")?).await?;
            outbox.enqueue_all(conn, messages).await?;
            anyhow::Ok(())
        });
        written.await?;
    }};
}

/// Who writes messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writer {
    /// The outbox's own library for a client.
    Of(Client),
    /// A statement in plain text, as any program may send it.
    Text,
}

impl Writer {
    /// Writes the messages in one transaction: the first one alone, the others at once.
    ///
    /// # Errors
    /// Those of the database, and for a database that there is no such writer for.
    pub async fn write(self, url: &str, messages: Vec<Message>) -> anyhow::Result<()> {
        let scheme = url.split(':').next().unwrap_or_default();
        match (self, scheme) {
            (Self::Of(Client::Sqlx), "postgres") => {
                let (outbox, pool) = (outbox_sqlx::Postgres::new(), PgPool::connect(url).await?);
                write_sqlx!(outbox, pool, messages)
            }
            (Self::Of(Client::Sqlx), "mysql") => {
                let (outbox, pool) = (outbox_sqlx::Mysql::new(), MySqlPool::connect(url).await?);
                write_sqlx!(outbox, pool, messages)
            }
            (Self::Of(Client::Sqlx), "sqlite") => {
                let (outbox, pool) = (outbox_sqlx::Sqlite::new(), SqlitePool::connect(url).await?);
                write_sqlx!(outbox, pool, messages)
            }
            (Self::Of(Client::Diesel), "postgres") => {
                write_diesel!(outbox_diesel::Postgres::new(), diesel::PgConnection, url, "select 1", messages)
            }
            (Self::Of(Client::Diesel), "mysql") => {
                write_diesel!(outbox_diesel::Mysql::new(), diesel::MysqlConnection, url, "do 0", messages)
            }
            (Self::Of(Client::Diesel), "sqlite") => {
                let (outbox, path) = (outbox_diesel::Sqlite::new(), sqlite_path(url));
                write_diesel!(outbox, diesel::SqliteConnection, path, "pragma busy_timeout = 5000", messages)
            }
            (Self::Of(Client::DieselAsync), "postgres") => {
                write_diesel_async!(outbox_diesel::AsyncPostgres::new(), diesel_async::AsyncPgConnection, url, messages)
            }
            (Self::Of(Client::DieselAsync), "mysql") => {
                write_diesel_async!(outbox_diesel::AsyncMysql::new(), diesel_async::AsyncMysqlConnection, url, messages)
            }
            (Self::Text, "postgres") => {
                let bytes = |hex: &str| format!(r"'\x{hex}'::bytea");
                let sql = text(&messages, "key", |m| format!("'{}'", m.id), bytes, quoted);
                _ = sqlx::raw_sql(AssertSqlSafe(sql)).execute(&PgPool::connect(url).await?).await?;
            }
            (Self::Text, "mysql") => {
                let bytes = |hex: &str| format!("x'{hex}'");
                let sql = text(&messages, "`key`", |m| bytes(&id(m)), bytes, |text| quoted(&text.replace('\\', r"\\")));
                _ = sqlx::raw_sql(AssertSqlSafe(sql)).execute(&MySqlPool::connect(url).await?).await?;
            }
            (Self::Text, "sqlite") => {
                let bytes = |hex: &str| format!("x'{hex}'");
                let sql = text(&messages, "key", |m| bytes(&id(m)), bytes, quoted);
                _ = sqlx::raw_sql(AssertSqlSafe(sql)).execute(&SqlitePool::connect(url).await?).await?;
            }
            (writer, scheme) => bail!("there is no {writer:?} on {scheme}"),
        }
        Ok(())
    }
}

/// One statement of literals.
fn text(
    messages: &[Message],
    key: &str,
    id: impl Fn(&Message) -> String,
    bytes: impl Fn(&str) -> String,
    quote: impl Fn(&str) -> String,
) -> String {
    let or_null = |text: Option<&str>| text.map_or_else(|| "null".to_owned(), &quote);
    let row = |m: &Message| {
        let values = [
            id(m),
            quote(&m.topic),
            or_null(m.key.as_deref()),
            quote(&m.event_type),
            bytes(&hex(&m.payload)),
            or_null(m.content_type.as_deref()),
            or_null(m.headers_json().as_deref()),
        ];
        format!("({})", values.join(", "))
    };
    let rows: Vec<String> = messages.iter().map(row).collect();
    format!(
        "insert into outbox_message (id, topic, {key}, event_type, payload, content_type, headers) values {}",
        rows.join(", ")
    )
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn id(message: &Message) -> String {
    hex(message.id.as_uuid().as_bytes())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
