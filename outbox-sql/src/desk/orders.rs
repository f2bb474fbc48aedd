use std::time::Duration;

use outbox_core::StoreError;
use outbox_core::admin::Orders;

use super::Desk;
use crate::Connection;
use crate::store::bounded;

/// A database that does not answer is given up after this time.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is decided at the desk, read once a second by every relay of a store over one connection.
#[derive(Debug)]
pub(crate) struct OrderBook {
    desk: Desk,
    conn: tokio::sync::Mutex<Option<Box<dyn Connection>>>,
}

impl OrderBook {
    pub(crate) fn new(desk: Desk) -> Self {
        Self { desk, conn: tokio::sync::Mutex::default() }
    }

    pub(crate) fn desk(&self) -> &Desk {
        &self.desk
    }

    pub(crate) async fn of(&self, relay: &str) -> Result<Orders, StoreError> {
        bounded("orders", PATIENCE, self.read(relay)).await
    }

    async fn read(&self, relay: &str) -> Result<Orders, StoreError> {
        let kept = &mut *self.conn.lock().await;
        // Taken out: after an error, or when this is dropped half-way, it goes.
        let mut conn = match kept.take() {
            Some(conn) => conn,
            None => self.desk.open().await?,
        };
        let rows = conn.query(&self.desk.sql.orders, &[relay.into()]).await?;
        *kept = Some(conn);
        let int = |i: usize| rows.first().and_then(|row| row[i].int()).unwrap_or(0);
        let paused_keys = rows.iter().filter_map(|row| row[2].text()).map(str::to_owned).collect();
        Ok(Orders { revision: int(0), paused: int(1) == 1, paused_keys })
    }
}
