//! What `lock_key` costs beside the smallest statement and beside an enqueue, on one connection.

use std::time::{Duration, Instant};

use anyhow::Result;
use outbox::Message;
use outbox::sqlx::{Mysql, Postgres};
use sqlx::{Connection, MySqlPool, PgPool};

use crate::report::{Figure, median};

const ROUNDS: usize = 1_000;

/// Microseconds of the smallest statement, of a lock, and of an enqueue, each in a transaction of its own.
#[derive(Default)]
struct Times {
    least: Vec<f64>,
    lock: Vec<f64>,
    enqueue: Vec<f64>,
}

impl Times {
    fn add(&mut self, [least, lock, enqueue]: [Duration; 3]) {
        let micros = |time: Duration| time.as_secs_f64() * 1e6;
        self.least.push(micros(least));
        self.lock.push(micros(lock));
        self.enqueue.push(micros(enqueue));
    }

    fn figures(&mut self, name: &str) -> Vec<Figure> {
        let (least, lock, enqueue) = (median(&mut self.least), median(&mut self.lock), median(&mut self.enqueue));
        let figure = |what: &str, value, unit| Figure { name: format!("{name}: {what}"), value, unit, target: None };
        vec![
            figure("lock_key over select 1", lock / least, "x"),
            figure("select 1", least, "us"),
            figure("lock_key", lock, "us"),
            figure("enqueue", enqueue, "us"),
        ]
    }
}

/// The same for both clients: their types share no trait that has it all.
macro_rules! measure {
    ($outbox:expr, $conn:expr) => {{
        let mut times = Times::default();
        for n in 0..ROUNDS {
            let mut tx = $conn.begin().await?;
            let started = Instant::now();
            sqlx::query("select 1").execute(&mut *tx).await?;
            let least = started.elapsed();
            $outbox.lock_key(&mut tx, n % 100).await?;
            let lock = started.elapsed() - least;
            $outbox.enqueue(&mut tx, Message::new("orders", "order.created").key(n % 100).text("paid")).await?;
            let enqueue = started.elapsed() - least - lock;
            tx.commit().await?;
            // The first ones prepare their statements.
            if n >= ROUNDS / 10 {
                times.add([least, lock, enqueue]);
            }
        }
        times
    }};
}

pub(crate) async fn run() -> Result<Vec<Figure>> {
    let server = testkit::Postgres::own().await;
    let pool = PgPool::connect(&server.database().await).await?;
    let outbox = Postgres::new();
    outbox.migrate(&pool).await?;
    let mut figures = {
        let mut conn = pool.acquire().await?;
        measure!(outbox, conn).figures("Postgres")
    };
    for (name, server) in
        [("MySQL", testkit::Mysql::own_mysql().await), ("MariaDB", testkit::Mysql::own_mariadb().await)]
    {
        let pool = MySqlPool::connect(&server.database().await).await?;
        let outbox = Mysql::new();
        outbox.migrate(&pool).await?;
        let mut conn = pool.acquire().await?;
        figures.extend(measure!(outbox, conn).figures(name));
    }
    Ok(figures)
}
