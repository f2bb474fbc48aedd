//! How much of the speed of a bare read a relay keeps: fetch, publish to nowhere, settle; over a keyset read of the
//! same rows through the same client, on Postgres, interleaved.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use futures_util::TryStreamExt;
use outbox::sqlx::Postgres;
use outbox::{Batch, KeyOrder, Outcomes, Relay, StoreRelay, Transport, TransportCapabilities, async_trait};
use sqlx::{Connection, PgConnection, PgPool, Row, ValueRef};

use crate::report::{Figure, median};

const ROWS: i64 = 200_000;
const PAYLOAD: i32 = 256;
const ROUNDS: usize = 7;
const TARGET: f64 = 0.6;

/// Acknowledges everything at once.
#[derive(Debug)]
pub(crate) struct Nowhere;

#[async_trait]
impl Transport for Nowhere {
    fn capabilities(&self) -> TransportCapabilities {
        TransportCapabilities::new().key_order(KeyOrder::Gapless)
    }

    async fn publish(&self, batch: Batch, out: &Outcomes) {
        (0..batch.len()).for_each(|i| out.delivered(i));
    }
}

pub(crate) async fn run() -> Result<Vec<Figure>> {
    let url = testkit::Postgres::shared().await.database().await;
    let pool = PgPool::connect(&url).await?;
    let outbox = Postgres::new();
    outbox.migrate(&pool).await?;
    let fill = "insert into outbox_message (topic, key, event_type, payload, content_type) \
        select 'orders', 'key-' || (i % 1000), 'order.created', convert_to(repeat('x', $2), 'UTF8'), 'text/plain' \
        from generate_series(1, $1) i";
    sqlx::query(fill).bind(ROWS).bind(PAYLOAD).execute(&pool).await?;
    sqlx::raw_sql("vacuum analyze outbox_message").execute(&pool).await?;

    let mut figures = Vec::new();
    for batch in [1_000, 5_000] {
        let (mut bare, mut relayed, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
        for round in 0..=ROUNDS {
            let read = rate(keyset_read(&url, batch).await?);
            let relay = StoreRelay::builder(format!("drain-{batch}-{round}"), outbox.store(pool.clone()), Nowhere)
                .batch(usize::try_from(batch)?)
                .build()?;
            let started = Instant::now();
            let delivered = relay.until_drained(Duration::from_secs(120)).await?;
            let drained = rate(started.elapsed());
            ensure!(delivered == ROWS as u64, "{delivered} of {ROWS} delivered");
            // The first round warms the caches up.
            if round > 0 {
                bare.push(read);
                relayed.push(drained);
                ratios.push(drained / read);
            }
        }
        let figure =
            |name: &str, value, unit, target| Figure { name: format!("drain {batch}: {name}"), value, unit, target };
        figures.push(figure("relay over bare read", median(&mut ratios), "x", Some(TARGET)));
        figures.push(figure("bare read", median(&mut bare), "rows/s", None));
        figures.push(figure("relay", median(&mut relayed), "messages/s", None));
    }
    Ok(figures)
}

fn rate(took: Duration) -> f64 {
    ROWS as f64 / took.as_secs_f64()
}

/// Every row, in batches, looking at every column as it came over the wire.
async fn keyset_read(url: &str, batch: i64) -> Result<Duration> {
    let mut conn = PgConnection::connect(url).await?;
    sqlx::raw_sql("set plan_cache_mode = force_generic_plan").execute(&mut conn).await?;
    let started = Instant::now();
    let (mut last, mut rows, mut bytes) = (0i64, 0, 0);
    loop {
        let page = sqlx::query(
            "select seq, id, topic, key, event_type, payload, content_type, headers::text, created_at \
             from outbox_message where seq > $1 order by seq limit $2",
        );
        let mut page = page.bind(last).bind(batch).fetch(&mut conn);
        let before = rows;
        while let Some(row) = page.try_next().await? {
            last = row.try_get(0)?;
            rows += 1;
            for i in 0..row.len() {
                let value = row.try_get_raw(i)?;
                bytes += if value.is_null() { 0 } else { value.as_bytes().map_err(sqlx::Error::Decode)?.len() };
            }
        }
        if rows == before {
            break;
        }
    }
    let took = started.elapsed();
    ensure!(rows == ROWS && bytes > (ROWS * i64::from(PAYLOAD)) as usize, "{rows} rows, {bytes} bytes");
    conn.close().await?;
    Ok(took)
}
