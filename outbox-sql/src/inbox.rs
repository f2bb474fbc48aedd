use outbox_core::{MessageId, StoreError, StoreErrorKind};

use crate::schedule::{Expired, Statement, Window, now, prune_all};
use crate::{Dialect, Driver, Names, Value};

/// Bytes of a consumer's name.
const CONSUMER: usize = 255;

/// The statements that note a message as processed by a consumer, and remember it for `window`. Run them in this order
/// in the transaction that processes it: it is the first time if one of them gives a row. Of two transactions with the
/// same message, the second one waits for the first.
///
/// # Errors
/// `Config` where the consumer is not named by 1 to 255 bytes without NUL.
pub fn first_time(
    dialect: Dialect,
    names: &Names,
    window: Window,
    consumer: &str,
    id: MessageId,
) -> Result<Vec<Statement>, StoreError> {
    if consumer.is_empty() || consumer.len() > CONSUMER || consumer.contains('\0') {
        let name: String = consumer.chars().take(32).collect();
        return Err(StoreError::new(StoreErrorKind::Config, "inbox")
            .with_detail(format!("the consumer {name:?} has no valid name: give 1 to {CONSUMER} bytes without NUL")));
    }
    let texts: &[&str] = match dialect {
        Dialect::Postgres => &["insert into outbox_inbox (consumer, message_id, expires_at) \
            values ($1, $2, {NOW} + $3::int8 * interval '1 us') on conflict do nothing returning 1::int8"],
        // A count that always changes: what a client is told of rows that stay the same depends on its settings.
        Dialect::Mysql => &[
            "insert into outbox_inbox (consumer, message_id, expires_at) \
            values (cast($1 as binary), $2, timestampadd(microsecond, $3, {NOW})) on duplicate key update times = times + 1",
            "select 1 from outbox_inbox where consumer = cast($1 as binary) and message_id = $2 and times = 1",
        ],
        Dialect::Sqlite => &["insert into outbox_inbox (consumer, message_id, expires_at) \
            values ($1, unhex(replace($2, '-', '')), {NOW} + $3) on conflict do nothing returning 1"],
    };
    let params = [consumer.into(), Value::Uuid(id.as_uuid().as_u128()), window.micros().into()];
    let fill = |sql: &&str| names.render_for(dialect, &sql.replace("{NOW}", now(dialect)));
    Ok(texts.iter().map(|sql| (fill(sql), params.to_vec())).collect())
}

/// Deletes what every consumer's inbox has remembered for long enough, 2,000 messages at a time. Gives how many. The
/// relays of the same tables do it too, all together for at most a tenth of the time.
///
/// # Errors
/// `Schema` where the tables are missing or of another version.
///
/// # Cancel safety
/// Some batches were deleted.
pub async fn prune_inbox(driver: &dyn Driver, names: &Names) -> Result<u64, StoreError> {
    prune_all(driver, names, &Expired::inbox(driver.dialect(), names)).await.map_err(|e| e.during("prune inbox"))
}
