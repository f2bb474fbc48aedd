//! An order service on sea-orm: each order and its message are one transaction, on Postgres, MySQL, MariaDB or SQLite.
//!
//! There is no crate of this project in between: the statement and its parameters come from [`outbox::sql::insert`].

use anyhow::bail;
use outbox::sql::{Dialect, Names, Param, insert};
use outbox::{Limits, Message, MessageId};
use sea_orm::{ActiveModelTrait, ConnectionTrait, DatabaseTransaction, DbBackend, DbConn, Statement, TransactionTrait};

/// The table of orders.
pub mod order {
    use sea_orm::entity::prelude::*;

    /// An order, as the message tells of it.
    #[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, DeriveEntityModel)]
    #[sea_orm(table_name = "orders")]
    pub struct Model {
        /// Unique.
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: i64,
        /// Messages of one customer arrive in order.
        pub customer: String,
        /// What it costs.
        pub cents: i64,
    }

    /// To no other table.
    #[derive(Debug, Clone, Copy, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// Writes the order and its message: both or neither. Returns the message's id.
///
/// # Errors
/// Those of the database, and of a message that is out of its limits: then neither is there.
pub async fn place_order(db: &DbConn, order: order::Model) -> anyhow::Result<MessageId> {
    let message = Message::new("orders", "order.created").key(&order.customer).header("source", "shop").json(&order)?;
    let id = message.id;
    let tx = db.begin().await?;
    enqueue(&tx, &[message]).await?;
    order::ActiveModel::from(order).reset_all().insert(&tx).await?;
    tx.commit().await?;
    Ok(id)
}

/// Writes messages in the caller's own transaction, in this order; at most 4,000.
///
/// # Errors
/// Those of the database: roll the transaction back. `InvalidMessage`, before anything was written.
pub async fn enqueue(tx: &DatabaseTransaction, messages: &[Message]) -> anyhow::Result<()> {
    let backend = tx.get_database_backend();
    let dialect = match backend {
        DbBackend::Postgres => Dialect::Postgres,
        DbBackend::MySql => Dialect::Mysql, // and MariaDB
        DbBackend::Sqlite => Dialect::Sqlite,
        other => bail!("this example has no outbox on {other:?}"),
    };
    let (sql, params) = insert(dialect, &Names::default(), &Limits::DEFAULT, messages)?;
    let values: Vec<sea_orm::Value> = params.into_iter().map(Param::into_value).collect();
    tx.execute_raw(Statement::from_sql_and_values(backend, sql, values)).await?;
    Ok(())
}
