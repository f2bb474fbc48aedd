//! An order service on tokio-postgres: each order and its message are one transaction.
//!
//! There is no crate of this project in between: the statement and its parameters come from [`outbox::sql::insert`].

use outbox::sql::{Dialect, Names, Param, insert};
use outbox::{Limits, Message, MessageId};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Transaction};

/// An order, as the message tells of it.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Order {
    /// Unique.
    pub id: i64,
    /// Messages of one customer arrive in order.
    pub customer: String,
    /// More than 0, or the table refuses it.
    pub cents: i64,
}

/// Creates the service's table. Those of the outbox come from `outbox migrate`, or from the handle of the relay.
///
/// # Errors
/// Those of the database.
pub async fn create_table(client: &Client) -> anyhow::Result<()> {
    let sql = "create table orders (id bigint primary key, customer text not null, cents bigint check (cents > 0))";
    Ok(client.batch_execute(sql).await?)
}

/// Writes the order and its message: both or neither. Returns the message's id.
///
/// # Errors
/// Those of the database, and of a message that is out of its limits: then neither is there.
pub async fn place_order(client: &mut Client, order: &Order) -> anyhow::Result<MessageId> {
    let message = Message::new("orders", "order.created").key(&order.customer).header("source", "shop").json(order)?;
    let id = message.id;
    let tx = client.transaction().await?;
    enqueue(&tx, &[message]).await?;
    let sql = "insert into orders (id, customer, cents) values ($1, $2, $3)";
    tx.execute(sql, &[&order.id, &order.customer, &order.cents]).await?;
    tx.commit().await?;
    Ok(id)
}

/// Writes messages in the caller's own transaction, in this order; at most 4,000.
///
/// # Errors
/// Those of the database: roll the transaction back. `InvalidMessage`, before anything was written.
pub async fn enqueue(tx: &Transaction<'_>, messages: &[Message]) -> anyhow::Result<()> {
    let (sql, params) = insert(Dialect::Postgres, &Names::default(), &Limits::DEFAULT, messages)?;
    let params: Vec<&(dyn ToSql + Sync)> = params.iter().map(param).collect();
    tx.execute(&sql, &params).await?;
    Ok(())
}

fn param(param: &Param) -> &(dyn ToSql + Sync) {
    match param {
        Param::Text(text) => text,
        Param::Bytes(bytes) => bytes,
    }
}
