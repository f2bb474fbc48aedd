//! The transactional outbox to Amazon SNS, on [aws-sdk-sns](https://docs.rs/aws-sdk-sns).
//!
//! ```no_run
//! # fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use outbox_sns::{SnsConfig, SnsTransport};
//!
//! let sns = SnsTransport::connect(SnsConfig::new("arn:aws:sns:eu-west-1:123456789012:").fifo())?;
//! # Ok(())
//! # }
//! ```
//!
//! # What a message becomes
//! | SNS | message |
//! |---|---|
//! | topic ARN | topic, behind the prefix of the ARNs, or as [`SnsConfig::topic`] says |
//! | message body | payload, where it is text |
//! | attribute `message-id` | id, as hyphenated lower-case UUID: what consumers deduplicate by |
//! | attribute `event-type` | event type |
//! | attribute `content-type` | content type, where there is one |
//! | attribute `message-key` | key, where there is one |
//! | attribute `payload-encoding` | only where the payload is no text, see below |
//! | further attributes | the message's own headers, one each |
//! | attribute `headers` | a JSON object with all of the above that cannot be an attribute of its own |
//! | `MessageGroupId` (FIFO) | key, or its hash where SNS does not allow it; without a key the id |
//! | `MessageDeduplicationId` (FIFO) | id |
//!
//! All attributes are of the type `String`. There is no subject.
//!
//! **Headers.** SNS takes any number of attributes, and then silently discards a message with more than ten on raw
//! delivery to SQS; so there are ten at most. Where there are more headers, the last ones by name stand in the
//! attribute `headers` instead, as do those that no attribute can have: with an empty value, with control characters, or
//! with a name that is not of `[A-Za-z0-9_.-]`. A consumer that wants all of them reads both.
//!
//! **Payloads.** SNS takes text: the characters of XML 1.0, and at least one. `payload-encoding` says what else a payload
//! was: `base64` is to be decoded, and `empty` stands for an empty one, whatever the body.
//!
//! **Size.** 256 KiB in all by default, attributes counted: a payload of 250,000 bytes. As base64 a payload is a third
//! longer; one that does not fit then becomes a dead letter that says so.
//!
//! # What is guaranteed
//! A message is delivered when SNS named its entry among the successful ones of a batch. What SNS failed at, throttled or
//! did not answer is tried again for [`SnsConfig::give_up_after`], and is then unknown. A request that is refused for one
//! of its messages is sent again singly.
//!
//! **The order of a key** is kept by FIFO topics: of each key one message is under way, and a request holds one of each
//! message group. Standard topics keep no order and may deliver twice, whoever publishes.
//!
//! **Where SNS is slow** (its quotas are 300 to 30,000 messages a second, by region and kind of topic), the relay hands
//! over up to 4,000 messages at once (8 publishes of 500) and gives each publish 10 s. Below 400 messages a second set
//! its `batch` lower, or its `publish_deadline` and [`SnsConfig::give_up_after`] higher.
//!
//! Needs `sns:Publish`; `sns:GetTopicAttributes` for the check at the start. That looks at the exact topics of the relay:
//! of one without `topics`, or with prefixes only, nothing is looked at and nothing declared.

mod attributes;
mod carry;
mod check;
mod client;
mod config;
mod error;
mod group;
mod requests;
mod text;
mod topics;
mod transport;
mod wire;

pub use config::SnsConfig;
pub use error::SnsConfigError;
pub use transport::SnsTransport;
