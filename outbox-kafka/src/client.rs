use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseRecord, Producer, PurgeConfig, ThreadedProducer};

use crate::KafkaConfigError;
use crate::confirm::{Callbacks, Confirmations};
use crate::token::Tokens;

/// One client of librdkafka, until it is thrown away.
pub(crate) struct Client {
    /// Taken at the end only.
    producer: Option<ThreadedProducer<Callbacks>>,
    /// Nothing is sent between the purge and what comes after it.
    sending: Mutex<()>,
    pub(crate) confirmations: Arc<Confirmations>,
}

impl Client {
    /// `singly`: one message a request, so that a refused request tells which message it was refused for.
    /// `complaint`: of the client before.
    pub(crate) fn new(
        config: &ClientConfig,
        tokens: Option<Tokens>,
        singly: bool,
        complaint: Option<String>,
    ) -> Result<Self, KafkaConfigError> {
        let confirmations = Arc::new(Confirmations::new(singly, complaint));
        let mut config = config.clone();
        if singly {
            config.set("batch.num.messages", "1");
        }
        let callbacks = Callbacks { confirmations: confirmations.clone(), tokens };
        let producer = ThreadedProducer::from_config_and_context(&config, callbacks);
        Ok(Self {
            producer: Some(producer.map_err(KafkaConfigError::refused)?),
            sending: Mutex::default(),
            confirmations,
        })
    }

    pub(crate) fn send(&self, record: BaseRecord<'_, str, [u8], usize>) -> Result<(), KafkaError> {
        let _sending = self.sending.lock().unwrap_or_else(PoisonError::into_inner);
        match &self.producer {
            Some(producer) if !self.confirmations.is_dead() => producer.send(record).map_err(|(e, _)| e),
            _ => Err(KafkaError::MessageProduction(RDKafkaErrorCode::PurgeQueue)),
        }
    }

    /// Sends nothing more: empties the queues. What is on its way may still arrive, in order.
    pub(crate) fn discard(&self) {
        let _sending = self.sending.lock().unwrap_or_else(PoisonError::into_inner);
        if self.confirmations.die() {
            tracing::warn!("a client of Kafka is thrown away; a new one sends again what was not confirmed");
        }
        if let Some(producer) = &self.producer {
            producer.purge(PurgeConfig::default().queue().inflight());
        }
    }

    /// Waits until everything is confirmed. Blocks.
    pub(crate) fn flush(&self, within: Duration) -> bool {
        self.producer.as_ref().is_none_or(|producer| producer.flush(within).is_ok())
    }
}

impl Drop for Client {
    /// The end of a producer blocks for up to half a second, and waits for its polling thread: on a thread of its own.
    fn drop(&mut self) {
        let (producer, confirmations) = (self.producer.take(), self.confirmations.clone());
        let ended = move || {
            drop(producer);
            confirmations.end();
        };
        // Where no thread can be had, the closure is dropped here, and blocks.
        _ = std::thread::Builder::new().name("outbox-kafka-end".into()).spawn(ended);
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("confirmations", &self.confirmations).finish_non_exhaustive()
    }
}
