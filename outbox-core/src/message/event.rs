use crate::{InvalidMessage, Message};

/// What can be enqueued: a [`Message`], or any [`Event`].
pub trait IntoMessage {
    /// The message.
    ///
    /// # Errors
    /// When the event cannot be serialized.
    fn into_message(self) -> Result<Message, InvalidMessage>;
}

impl IntoMessage for Message {
    fn into_message(self) -> Result<Message, InvalidMessage> {
        Ok(self)
    }
}

/// A type of one's own that is enqueued as JSON.
///
/// ```
/// use outbox_core::{Event, IntoMessage};
///
/// #[derive(serde::Serialize)]
/// struct OrderCreated {
///     order_id: u64,
/// }
///
/// impl Event for OrderCreated {
///     const TOPIC: &str = "orders";
///     const EVENT_TYPE: &str = "order.created";
///
///     fn key(&self) -> Option<String> {
///         Some(self.order_id.to_string())
///     }
/// }
///
/// let message = OrderCreated { order_id: 7 }.into_message()?;
/// assert_eq!(message.event_type, "order.created");
/// # Ok::<(), outbox_core::InvalidMessage>(())
/// ```
pub trait Event: serde::Serialize {
    /// The topic of every such event.
    const TOPIC: &str;
    /// The event type of every such event.
    const EVENT_TYPE: &str;

    /// The ordering key. Default: none.
    fn key(&self) -> Option<String> {
        None
    }
}

impl<E: Event> IntoMessage for E {
    fn into_message(self) -> Result<Message, InvalidMessage> {
        let message = Message::new(E::TOPIC, E::EVENT_TYPE).json(&self)?;
        Ok(match self.key() {
            Some(key) => message.key(key),
            None => message,
        })
    }
}
