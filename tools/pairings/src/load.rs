use std::sync::Arc;
use std::time::Duration;

use outbox_conformance::{Expected, Ledger};
use outbox_core::Message;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::sync::watch;
use tokio::time::sleep;

use crate::Writer;

/// What is committed in each pairing.
pub const MESSAGES: usize = 1_000;
/// Over so many keys.
pub const KEYS: usize = 50;
/// Writers of one pairing, each with keys of its own.
pub(crate) const WRITERS: usize = 2;
/// Between two transactions while the broker is about to fail.
const PACE: Duration = Duration::from_millis(3);

/// How far the run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// Half of the messages are written.
    First,
    /// Messages go on being written while the broker fails.
    UnderWay,
    /// The broker is away: the rest is written.
    Away,
}

/// One writer's transactions: 1 to 8 messages each, of any of its keys; one in eight is rolled back.
#[derive(Debug)]
pub(crate) struct Load {
    pub(crate) topic: String,
    pub(crate) number: usize,
    pub(crate) seed: u64,
    pub(crate) ledger: Arc<Ledger>,
}

impl Load {
    /// Writes its share. `half` is told when half of it is there. Gives how many transactions were rolled back.
    pub(crate) async fn run(
        self,
        writer: &mut dyn Writer,
        mut phase: watch::Receiver<Phase>,
        half: tokio::sync::mpsc::Sender<()>,
    ) -> anyhow::Result<usize> {
        let mut rng = StdRng::seed_from_u64(self.seed);
        let share = MESSAGES / WRITERS;
        let (mut written, mut rolled_back, mut place) = (0, 0, 0);
        let mut half = Some(half);
        while written < share {
            if written >= share / 2 {
                drop(half.take());
                phase.wait_for(|phase| *phase >= Phase::UnderWay).await?;
                if written >= share * 3 / 4 {
                    phase.wait_for(|phase| *phase >= Phase::Away).await?;
                } else if *phase.borrow() == Phase::UnderWay {
                    sleep(PACE).await;
                }
            }
            let many = rng.random_range(1..=8).min(share - written);
            let commit = !rng.random_ratio(1, 8);
            let mut messages = Vec::with_capacity(many);
            let mut expected = Vec::with_capacity(many);
            for _ in 0..many {
                place += 1;
                let key = rng.random_range(0..KEYS / WRITERS) * WRITERS + self.number;
                let message = self.message(key, place);
                let known = Expected::new(message.id, &message.payload).key(format!("key-{key}")).order(place);
                messages.push(message);
                expected.push(known);
            }
            writer.write(messages, commit).await?;
            if commit {
                written += many;
                expected.iter().for_each(|e| self.ledger.committed(e));
            } else {
                rolled_back += 1;
            }
        }
        Ok(rolled_back)
    }

    fn message(&self, key: usize, place: u64) -> Message {
        let text = format!("{} of writer {} for key {key}: naïve 漢字 {}", place, self.number, "x".repeat(key));
        Message::new(&self.topic, "pairing.written")
            .key(format!("key-{key}"))
            .text(text)
            .header("place", place.to_string())
    }
}
