//! The wire formats: against the examples of the CloudEvents 1.0.2 specification, and against its Rust SDK as a reader.

use std::collections::BTreeMap;

use cloudevents::{AttributesReader, Data, Event};
use outbox_core::wire::{Binding, Encoded, MESSAGE_KEY, WireFormat};
use outbox_core::{Batch, BatchBuilder, InvalidMessage, Message, Row};
use serde_json::{Value, json};

const KAFKA: Binding = Binding::new("ce_");
const AMQP: Binding = Binding::new("cloudEvents:").key_in_header();
const NATS: Binding = Binding::new("ce-").key_in_header().percent_encoded().content_type_as_attribute();

const STRUCTURED: &str = "application/cloudevents+json; charset=utf-8";
/// 2018-04-05T17:31:00Z, of the examples of the JSON event format.
const JSON_TIME: i64 = 1_522_949_460_000_000;
/// 2018-04-05T03:56:24Z, of the examples of the protocol bindings.
const BINDING_TIME: i64 = 1_522_900_584_000_000;

fn batch(m: &Message, created_at: i64) -> Batch {
    let mut batch = BatchBuilder::new();
    batch.push(&Row {
        seq: 1,
        id: m.id.as_uuid().as_u128(),
        created_at,
        topic: &m.topic,
        key: m.key.as_deref(),
        event_type: &m.event_type,
        payload: &m.payload,
        content_type: m.content_type.as_deref(),
        headers: m.headers_json().as_deref(),
    });
    batch.finish()
}

fn try_encode(m: &Message, created_at: i64, format: &WireFormat, binding: &Binding) -> Result<Encoded, InvalidMessage> {
    format.check().expect("a good source");
    format.encode(&batch(m, created_at).get(0), binding)
}

fn binary(m: &Message, binding: &Binding) -> Encoded {
    try_encode(m, JSON_TIME, &WireFormat::cloud_events_binary("/mycontext"), binding).expect("it has a form")
}

fn structured(m: &Message) -> Encoded {
    try_encode(m, JSON_TIME, &WireFormat::cloud_events_structured("/mycontext"), &KAFKA).expect("it has a form")
}

fn error(m: &Message) -> String {
    let error = try_encode(m, JSON_TIME, &WireFormat::cloud_events_structured("/mycontext"), &KAFKA);
    error.expect_err("it has no form").to_string()
}

fn map(encoded: &Encoded) -> BTreeMap<&str, &str> {
    let map: BTreeMap<_, _> = encoded.headers.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    assert_eq!(map.len(), encoded.headers.len(), "a name stands twice in {:?}", encoded.headers);
    map
}

fn json(encoded: &Encoded) -> Value {
    serde_json::from_slice(&encoded.payload).expect("JSON")
}

fn event(json: &[u8]) -> Event {
    serde_json::from_slice(json).expect("an event, to the SDK")
}

/// The message of the examples; its id is put into them, as theirs are no UUIDs.
fn example() -> Message {
    let m = Message::new("mytopic", "com.example.someevent");
    m.header("comexampleextension1", "value").header("comexampleothervalue", "5")
}

/// Sections 3.2 of the JSON event format: "Binary-valued data", "a serialized XML document", "JSON Object-valued data",
/// and "a literal JSON string" with the content type that it implies. Here the extension that is a number is text.
#[test]
fn the_examples_of_the_json_event_format() {
    let cases = [
        (
            example().content_type("application/vnd.apache.thrift.binary").payload(&b"\0\x01thrift\xff"[..]),
            r#""datacontenttype": "application/vnd.apache.thrift.binary", "data_base64": "AAF0aHJpZnT/""#,
        ),
        (
            example().content_type("application/xml").payload("<much wow=\"xml\"/>"),
            r#""unsetextension": null, "datacontenttype": "application/xml", "data": "<much wow=\"xml\"/>""#,
        ),
        (
            example().content_type("application/json").payload(
                r#"{
                    "appinfoA" : "abc",
                    "appinfoB" : 123,
                    "appinfoC" : true
                }"#,
            ),
            r#""subject": null, "datacontenttype": "application/json",
                "data": { "appinfoA": "abc", "appinfoB": 123, "appinfoC": true }"#,
        ),
        (
            example().content_type("application/json").payload(r#""I'm just a string""#),
            r#""subject": null, "datacontenttype": "application/json", "data": "I'm just a string""#,
        ),
    ];
    for (m, particular) in cases {
        let expected = format!(
            r#"{{
                "specversion": "1.0",
                "type": "com.example.someevent",
                "source": "/mycontext",
                "id": "{}",
                "time": "2018-04-05T17:31:00Z",
                "comexampleextension1": "value",
                "comexampleothervalue": "5",
                {particular}
            }}"#,
            m.id
        );
        let encoded = structured(&m);
        assert_eq!(encoded.content_type.as_deref(), Some(STRUCTURED));
        assert_eq!(encoded.headers, []);
        assert_eq!(without_null(event(&encoded.payload)), without_null(event(expected.as_bytes())), "{particular}");
        // "The above example re-encoded using HTTP Binary Content Mode".
        let encoded = binary(&m, &NATS);
        let id = m.id.to_string();
        let mut headers = BTreeMap::from([
            ("ce-specversion", "1.0"),
            ("ce-type", "com.example.someevent"),
            ("ce-source", "/mycontext"),
            ("ce-id", &id),
            ("ce-time", "2018-04-05T17:31:00.000000Z"),
            ("ce-comexampleextension1", "value"),
            ("ce-comexampleothervalue", "5"),
        ]);
        headers.insert("ce-datacontenttype", m.content_type.as_deref().expect("they have one"));
        assert_eq!(map(&encoded), headers);
        assert_eq!((&encoded.payload, &encoded.content_type), (&m.payload, &m.content_type));
    }
}

/// The SDK keeps an unset extension as an empty one.
fn without_null(mut event: Event) -> Event {
    event.remove_extension("unsetextension");
    event
}

/// Section 3.2.5 of the Kafka protocol binding, and 3.1.4 of those for AMQP and NATS.
#[test]
fn the_examples_of_the_protocol_bindings() {
    let format = WireFormat::cloud_events_binary("/mycontext/subcontext");
    for (binding, prefix) in [(KAFKA, "ce_"), (AMQP, "cloudEvents:"), (NATS, "ce-")] {
        let m = Message::new("mytopic", "com.example.someevent").key("mykey").content_type("application/avro");
        let m = m.payload(&b"\0 application data encoded in Avro"[..]);
        let encoded = try_encode(&m, BINDING_TIME, &format, &binding).expect("it has a form");
        let mut expected = vec![
            ("specversion", "1.0"),
            ("type", "com.example.someevent"),
            ("source", "/mycontext/subcontext"),
            ("time", "2018-04-05T03:56:24.000000Z"),
            ("partitionkey", "mykey"),
        ];
        if prefix == "ce-" {
            expected.push(("datacontenttype", "application/avro"));
        }
        let id = m.id.to_string();
        expected.push(("id", &id));
        let expected: Vec<(String, &str)> = expected.into_iter().map(|(n, v)| (format!("{prefix}{n}"), v)).collect();
        assert_eq!(map(&encoded), expected.iter().map(|(n, v)| (n.as_str(), *v)).collect());
        assert_eq!((encoded.payload, encoded.content_type), (m.payload, m.content_type));
    }
}

/// Section 3.3.4 of the Kafka protocol binding; the media type is matched whatever its case.
#[test]
fn the_example_of_structured_mode_in_kafka() {
    let m = Message::new("mytopic", "com.example.someevent").content_type("application/xml").payload("<a>ä</a>");
    let format = WireFormat::cloud_events_structured("/mycontext/subcontext");
    let encoded = try_encode(&m, BINDING_TIME, &format, &KAFKA).expect("it has a form");
    let expected = json!({
        "specversion": "1.0", "type": "com.example.someevent", "source": "/mycontext/subcontext",
        "id": m.id.to_string(), "time": "2018-04-05T03:56:24.000000Z", "datacontenttype": "application/xml", "data": "<a>ä</a>",
    });
    assert_eq!(json(&encoded), expected);
    let content_type = encoded.content_type.unwrap_or_default();
    assert!(content_type.eq_ignore_ascii_case("application/cloudevents+json; charset=UTF-8"));
}

/// The example of section 3.1.3.2 of the bindings for HTTP and NATS, and each character that it names.
#[test]
fn attributes_are_percent_encoded_where_the_binding_says_so() {
    for (value, encoded) in [
        ("Euro € 😀", "Euro%20%E2%82%AC%20%F0%9F%98%80"),
        ("!#$&'()*+,-./:;<=>?@[\\]^_`{|}~", "!#$&'()*+,-./:;<=>?@[\\]^_`{|}~"),
        ("a\"b%20c", "a%22b%2520c"),
    ] {
        let m = Message::new("t", value).key(value).header("ext", value).header("Plain", value);
        let (percent, utf8) = (binary(&m, &NATS), binary(&m, &KAFKA));
        for name in ["type", "partitionkey", "ext"] {
            assert_eq!(map(&percent)[&*format!("ce-{name}")], encoded);
            assert_eq!(map(&utf8)[&*format!("ce_{name}")], value);
        }
        assert_eq!(map(&percent)["Plain"], value, "headers are as in the raw format");
    }
}

#[test]
fn the_sdk_reads_every_attribute_and_the_data() {
    let m = Message::new("orders", "order.created ü").key("kunde-7").content_type("application/vnd.order+json");
    let m = m.payload(r#" {"total": 90.10, "big": 12345678901234567890123} "#).header("subject", "order 7");
    let m = m.header("dataschema", "https://example.com/order.json").header("traceparent", "00-ab-cd-01");
    let encoded = structured(&m);
    let event = event(&encoded.payload);
    assert_eq!(event.id(), m.id.to_string());
    assert_eq!((event.ty(), event.source().as_str()), ("order.created ü", "/mycontext"));
    assert_eq!(event.subject(), Some("order 7"));
    assert_eq!(event.dataschema().map(|url| url.as_str()), Some("https://example.com/order.json"));
    assert_eq!(event.datacontenttype(), Some("application/vnd.order+json"));
    assert_eq!(event.time().map(|t| t.timestamp_micros()), Some(JSON_TIME));
    let extension = |name| event.extension(name).map(ToString::to_string);
    assert_eq!(extension("partitionkey").as_deref(), Some("kunde-7"));
    assert_eq!(extension("traceparent").as_deref(), Some("00-ab-cd-01"));
    assert!(matches!(event.data(), Some(Data::Json(data)) if data["total"] == 90.1));
    // Byte for byte: no number is rounded.
    let text = String::from_utf8(encoded.payload.to_vec()).unwrap();
    assert!(text.contains(r#""data":{"total": 90.10, "big": 12345678901234567890123}"#), "{text}");
}

#[test]
fn the_content_type_says_what_data_is() {
    let with = |content_type: Option<&str>, payload: &'static [u8]| {
        let mut m = Message::new("t", "e").payload(payload);
        m.content_type = content_type.map(str::to_owned);
        let json = json(&structured(&m));
        (json.get("data").cloned(), json.get("data_base64").and_then(Value::as_str).map(str::to_owned))
    };
    for json_type in ["application/json", "text/json", "APPLICATION/JSON ; charset=utf-8", "application/ld+json"] {
        assert_eq!(with(Some(json_type), b"[1]"), (Some(json!([1])), None), "{json_type}");
        assert_eq!(with(Some(json_type), b"null"), (Some(Value::Null), None), "{json_type}");
    }
    for text_type in ["text/plain; charset=utf-8", "text/csv", "application/xml", "image/svg+xml"] {
        assert_eq!(with(Some(text_type), "ü\"\n".as_bytes()), (Some(json!("ü\"\n")), None), "{text_type}");
        assert_eq!(with(Some(text_type), b"\xff"), (None, Some("/w==".into())), "{text_type}, and it is no UTF-8");
        assert_eq!(with(Some(text_type), b""), (Some(json!("")), None), "{text_type}");
    }
    for other in [None, Some("application/octet-stream"), Some("application/jsonx"), Some("no media type")] {
        assert_eq!(with(other, b"{}"), (None, Some("e30=".into())), "{other:?}");
    }
    for any in [None, Some("application/json"), Some("application/octet-stream")] {
        assert_eq!(with(any, b""), (None, None), "an empty payload is no data");
    }
}

#[test]
fn what_is_declared_as_json_and_is_none_is_refused_in_structured_mode() {
    for payload in [&b"{"[..], b"{} {}", b"'a'", b"\xff", b"\xef\xbb\xbf{}", b"NaN", b" "] {
        let m = Message::new("t", "e").content_type("application/json").payload(payload);
        let error = error(&m);
        assert!(error.contains("declared as application/json, and is none"), "{error}");
        assert!(error.contains("declare the content type that it has"), "{error}");
        assert_eq!(binary(&m, &KAFKA).payload, payload, "binary mode does not look");
    }
}

#[test]
fn a_header_with_the_name_of_an_attribute_becomes_one_and_the_others_stay_headers() {
    let m = Message::new("t", "e").key("k").header("tenant", "a").header("subject", "s").header("tracestate", "x=1");
    let m = m.header("Tenant", "b").header("x-request-id", "7").header("id", "mine").header("type", "mine");
    let m = m.header("time", "mine").header("data", "mine").header("partitionkey", "mine").header("empty", "");
    let m = m.header("tab", "a\tb").header("ce_id", "false").header("CE_tenant", "false").header("ce_", "false");
    let m = m.header("Content-Type", "false").header("c", "short");
    let plain = [
        ("Tenant", "b"),
        ("data", "mine"),
        ("empty", ""),
        ("id", "mine"),
        ("partitionkey", "mine"),
        ("tab", "a\tb"),
        ("time", "mine"),
        ("tracestate", "x=1"),
        ("type", "mine"),
        ("x-request-id", "7"),
    ];
    let attributes = [("tenant", "a"), ("subject", "s"), ("tracestate", "x=1"), ("c", "short"), ("partitionkey", "k")];
    let encoded = structured(&m);
    assert_eq!(map(&encoded), BTreeMap::from(plain));
    let object = json(&encoded);
    for (name, value) in attributes {
        assert_eq!(object[name], value);
    }
    assert_eq!(object.as_object().map(serde_json::Map::len), Some(5 + attributes.len()));
    let encoded = binary(&m, &KAFKA);
    let headers = map(&encoded);
    for (name, value) in plain {
        assert_eq!(headers[name], value);
    }
    for (name, value) in attributes {
        assert_eq!(headers[&*format!("ce_{name}")], value);
    }
    assert_eq!(headers.len(), 5 + attributes.len() + plain.len());
    assert_eq!(headers["ce_id"], m.id.to_string());
}

#[test]
fn what_no_attribute_may_be_is_refused_with_advice() {
    for (m, part) in [
        (Message::new("t", "a\tb"), "event type \"a\\tb\""),
        (Message::new("t", ""), "event type \"\""),
        (Message::new("t", "a\u{85}"), "event type"),
        (Message::new("t", "a\u{fdd0}"), "event type"),
        (Message::new("t", "a\u{1ffff}"), "event type"),
        (Message::new("t", "e").key("a\u{7f}"), "key"),
        (Message::new("t", "e").content_type("a\u{1}"), "content type"),
        (Message::new("t", "e").header("dataschema", "order.json"), "\"dataschema\", \"order.json\", is no URI"),
    ] {
        let error = error(&m);
        assert!(error.contains(part) && error.contains(": "), "{error}");
    }
    assert!(structured(&Message::new("t", "a\u{fffd} \u{10fffd}")).headers.is_empty());
}

#[test]
fn the_time_is_always_one_of_rfc_3339() {
    for (micros, time) in [
        (0, "1970-01-01T00:00:00.000000Z"),
        (-1, "1970-01-01T00:00:00.000000Z"),
        (951_782_399_999_999, "2000-02-28T23:59:59.999999Z"),
        (951_782_400_000_001, "2000-02-29T00:00:00.000001Z"),
        (i64::MAX, "9999-12-31T23:59:59.999999Z"),
    ] {
        let format = WireFormat::cloud_events_binary("/a");
        let encoded = try_encode(&Message::new("t", "e"), micros, &format, &KAFKA).expect("it has a form");
        assert_eq!(map(&encoded)["ce_time"], time);
    }
}

#[test]
fn a_source_is_a_uri_reference_and_the_error_says_what_to_do() {
    for good in ["/orders", "orders", "urn:orders", "https://a.example/b?c=d#e", "//host/a", "?q", "#f", "a/b:c", "%20"]
    {
        for format in [WireFormat::cloud_events_binary(good), WireFormat::cloud_events_structured(good)] {
            assert_eq!(format.check(), Ok(()), "{good}");
            assert!(!format.is_raw());
        }
    }
    for (bad, why) in [
        ("", "is empty"),
        ("a b", "percent-encoded"),
        ("ü", "percent-encoded"),
        ("a%2", "percent-encoded"),
        ("a%zz", "percent-encoded"),
        ("a#b#c", "percent-encoded"),
        ("a\n", "percent-encoded"),
        ("1a:b", "no scheme"),
        (":b", "no scheme"),
    ] {
        let error = WireFormat::cloud_events_binary(bad).check().expect_err(bad).to_string();
        assert!(error.contains(why) && error.contains("give a URI-reference, such as"), "{error}");
    }
    assert_eq!(WireFormat::raw().check(), Ok(()));
}

#[test]
fn the_raw_format_is_as_it_was() {
    let m = Message::new("t", "e").key("k").content_type("a/b").header("x", "1").header("message-id", "false");
    let encoded = try_encode(&m, 0, &WireFormat::default(), &AMQP).expect("it has a form");
    let id = m.id.to_string();
    let expected = BTreeMap::from([("message-id", id.as_str()), ("event-type", "e"), (MESSAGE_KEY, "k"), ("x", "1")]);
    assert_eq!(map(&encoded), expected);
    assert_eq!(encoded.content_type.as_deref(), Some("a/b"));
}

#[test]
fn a_payload_within_the_limit_makes_no_longer_body_but_for_its_attributes() {
    let format = WireFormat::cloud_events_structured("/a");
    let most = format.max_payload(40_000);
    assert_eq!((most, WireFormat::raw().max_payload(40_000)), (30_000, 40_000));
    for (content_type, payload) in [
        (None, vec![0xff; most]),
        (Some("text/plain"), vec![b'a'; most]),
        (Some("text/plain"), vec![1; most]),
        (Some("text/plain"), vec![b'"'; most]),
    ] {
        let m = Message::new("t", "e").payload(payload);
        let m = match content_type {
            Some(content_type) => m.content_type(content_type),
            None => m,
        };
        let body = structured(&m).payload.len();
        assert!(body < 40_000 + 300, "{content_type:?}: {body}");
    }
}
