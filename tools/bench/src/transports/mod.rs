//! How much of the speed of a bare client a transport keeps, as the relay drives it: messages of 256 bytes from a store
//! that costs next to nothing, over the bare client that publishes the same messages, with the same headers, in the
//! fastest way known that waits for every confirmation. Both with many keys and with one: then the bare client is held
//! to the same rule, one message under way at a time, unless the transport keeps the order with many.

mod amqp;
mod contest;
mod cpu;
mod kafka;
mod nats;
mod sns;
mod source;

use anyhow::Result;

use crate::report::Figure;
use contest::figures;

pub(crate) async fn run() -> Result<Vec<Figure>> {
    // Only those named behind `transports`; all where none is.
    let named: Vec<String> = std::env::args().skip(2).collect();
    let wanted = |name: &str| named.is_empty() || named.iter().any(|n| n == name);
    let mut all = Vec::new();
    if wanted("kafka") {
        all.extend(figures(&kafka::KafkaContest::start().await).await?);
    }
    if wanted("amqp") {
        all.extend(figures(&amqp::AmqpContest::start().await).await?);
    }
    if wanted("nats") {
        all.extend(figures(&nats::NatsContest::start().await).await?);
    }
    if wanted("sns") {
        all.extend(figures(&sns::SnsContest::start().await).await?);
    }
    anyhow::ensure!(!all.is_empty(), "unknown transports {named:?}: there are `kafka`, `amqp`, `nats` and `sns`");
    Ok(all)
}
