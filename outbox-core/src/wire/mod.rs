//! How a message is written for consumers, whichever broker carries it. For transports.

mod binding;
mod cloud_events;
mod format;
mod source;

pub use binding::Binding;
pub use format::{Encoded, WireFormat, WireFormatError};

/// The header with the message id, in the raw format. Hyphenated lower case.
pub const MESSAGE_ID: &str = "message-id";
/// The header with the ordering key, where the broker has no place of its own for it.
pub const MESSAGE_KEY: &str = "message-key";
/// The header with the event type, in the raw format.
pub const EVENT_TYPE: &str = "event-type";
/// The header with the payload's media type, where the broker has no place of its own for it.
pub const CONTENT_TYPE: &str = "content-type";
