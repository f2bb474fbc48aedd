//! Every store delivers to every broker, and loses, inverts and invents nothing while the broker fails.

use std::sync::Arc;
use std::time::Instant;

use pairings::{
    Broker, Cell, Databases, KafkaBroker, NatsBroker, RabbitMqBroker, STORES, SnsBroker, TRANSPORTS, Table, run,
};

#[tokio::test(flavor = "multi_thread")]
async fn every_store_delivers_to_every_broker_that_fails_in_the_middle() {
    let started = Instant::now();
    let seed: u64 = rand::random();
    let databases = Arc::new(Databases::start().await.expect("the databases"));
    let all = TRANSPORTS.map(|name| {
        let databases = databases.clone();
        tokio::spawn(async move { run(&*start(name).await?, &databases, &STORES, seed).await })
    });
    let (mut cells, mut wrong) = (Vec::<Cell>::new(), Vec::new());
    for (name, ran) in TRANSPORTS.iter().zip(all) {
        match ran.await {
            Ok(Ok(found)) => cells.extend(found),
            Ok(Err(e)) => wrong.push(format!("{name}: {e:#}")),
            Err(e) => wrong.push(format!("{name}: {e}")),
        }
    }
    let table = Table::new(&STORES, &TRANSPORTS, cells);
    println!("{table}{:.0} s, seed {seed}", started.elapsed().as_secs_f64());
    wrong.extend(table.wrong());
    assert!(wrong.is_empty(), "{}\nseed {seed}", wrong.join("\n"));
}

async fn start(name: &str) -> anyhow::Result<Box<dyn Broker>> {
    Ok(match name {
        "Kafka" => Box::new(KafkaBroker::start().await),
        "RabbitMQ" => Box::new(RabbitMqBroker::start().await),
        "NATS 2.15" => Box::new(NatsBroker::start().await),
        "NATS 2.10" => Box::new(NatsBroker::start_210().await),
        "SNS FIFO" => Box::new(SnsBroker::start().await?),
        name => anyhow::bail!("there is no {name}"),
    })
}
