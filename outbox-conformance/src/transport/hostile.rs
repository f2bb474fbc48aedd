//! Input that nobody means well with.

use outbox_core::{Limits, Message};

pub(super) struct Hostile {
    /// In words.
    pub(super) what: &'static str,
    pub(super) message: Message,
    /// What another writer left in the headers' place.
    pub(super) headers: Option<&'static str>,
    /// It is odd, but within every limit: it has to arrive.
    pub(super) legal: bool,
}

/// Every message has a payload and a key of its own, so that it is told from the others.
pub(super) fn hostile(topic: &str, limits: &Limits) -> Vec<Hostile> {
    let long = "x".repeat(300);
    let mut all = Vec::new();
    let mut add = |what, message: Message| {
        let payload = format!("hostile/{}", all.len());
        let message = if message.payload.is_empty() { message.text(payload) } else { message };
        all.push(Hostile { what, message, headers: None, legal: false });
    };
    for (what, odd) in [
        ("a topic with CR and LF", "a\r\nb"),
        ("a topic with NUL", "a\0b"),
        ("a topic of 300 bytes", &long),
        ("an empty topic", ""),
        ("the topic \".\"", "."),
        ("the wildcard topic \"orders.*\"", "orders.*"),
        ("the wildcard topic \"orders.>\"", "orders.>"),
        ("the wildcard topic \"#\"", "#"),
        ("a topic with spaces and slashes", "../a b/ü?x=1#y"),
    ] {
        add(what, Message::new(odd, "order.created").key(what));
    }
    for (what, odd) in [
        ("a key with CR and LF", "a\r\nb: c"),
        ("a key with NUL", "a\0b"),
        ("a key of 300 bytes", &long),
        ("an empty key", ""),
        ("a key of control characters", "\u{1}\u{7f}\u{200f}\u{feff}"),
    ] {
        add(what, Message::new(topic, "order.created").key(odd));
    }
    for (what, odd) in [
        ("an event type with CR and LF", "a\r\nb: c"),
        ("an event type with NUL", "a\0b"),
        ("an event type of 300 bytes", &long),
        ("an empty event type", ""),
    ] {
        add(what, Message::new(topic, odd).key(what));
    }
    let base = |what: &str| Message::new(topic, "order.created").key(what);
    for (what, header, value) in [
        ("a header name with CR and LF", "a\r\nb", "v"),
        ("a header name with NUL", "a\0b", "v"),
        ("a header name of 300 bytes", &*long, "v"),
        ("an empty header name", "", "v"),
        ("a header value with CR and LF", "h", "v\r\nx-other: y"),
        ("a header value with NUL", "h", "v\0w"),
        ("an empty header value", "h", ""),
    ] {
        add(what, base(what).header(header, value));
    }
    let many = "a thousand headers";
    add(many, (0..1000).fold(base(many), |m, n| m.header(format!("h{n}"), "v")));
    let odd = "a content type with CR and LF";
    add(odd, base(odd).content_type("text/plain\r\nx: y"));
    if limits.payload < 16 << 20 {
        let over = "a payload over the limit";
        add(over, base(over).payload(vec![b'y'; limits.payload + 1]));
    }
    for (what, headers) in [("headers that are no JSON", "{\"a\":"), ("headers that are no object", "[1, 2]")] {
        let message = base(what).text(format!("hostile/{what}"));
        all.push(Hostile { what, message, headers: Some(headers), legal: false });
    }
    all.push(Hostile { what: "an empty payload", message: base("an empty payload"), headers: None, legal: true });
    all
}
