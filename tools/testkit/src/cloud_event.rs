use outbox_core::Batch;

use crate::{Sample, batch};

const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// A message to be sent as a CloudEvent of the source `/orders`, and what a consumer must find of it.
#[derive(Debug)]
pub struct CloudEvent;

impl CloudEvent {
    /// The one message, to this topic.
    #[must_use]
    pub fn batch(topic: &str) -> Batch {
        let sample = Sample::new(topic).key("ключ").text(r#"{"order":7}"#).content_type(Some("application/json"));
        batch(7, &[sample.headers(format!(r#"{{"traceparent":"{TRACE}"}}"#))])
    }

    /// What every attribute must be, but for its prefix.
    fn attributes() -> [(&'static str, &'static str); 7] {
        [
            ("specversion", "1.0"),
            ("id", "00000000-0000-0000-0000-000000000007"),
            ("source", "/orders"),
            ("type", "order.created"),
            ("time", "2023-11-14T22:13:20.000000Z"),
            ("partitionkey", "ключ"),
            ("traceparent", TRACE),
        ]
    }

    /// Looks at a message in binary mode: the headers, as they are without the broker's encoding, and the payload.
    ///
    /// # Panics
    /// If anything is absent or different.
    #[track_caller]
    pub fn assert_binary(prefix: &str, header: impl Fn(&str) -> Option<String>, payload: &[u8]) {
        for (name, value) in Self::attributes() {
            assert_eq!(header(&format!("{prefix}{name}")).as_deref(), Some(value), "{prefix}{name}");
        }
        assert_eq!(payload, br#"{"order":7}"#);
    }

    /// Looks at the body of a message in structured mode.
    ///
    /// # Panics
    /// If anything is absent or different.
    #[track_caller]
    pub fn assert_structured(body: &[u8]) {
        let event: serde_json::Value = serde_json::from_slice(body).expect("the body is JSON");
        for (name, value) in Self::attributes() {
            assert_eq!(event[name], value, "{name}");
        }
        assert_eq!((&event["datacontenttype"], &event["data"]["order"]), (&"application/json".into(), &7.into()));
    }
}
