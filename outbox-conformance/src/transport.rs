//! The suite for implementations of [`Transport`](outbox_core::Transport): a test for every clause of its contract.
//!
//! # For a transport of one's own
//! Say how it is made and how to read what its broker stored, and the suite does the rest:
//!
//! ```
//! use std::sync::{Arc, Mutex};
//!
//! use outbox_conformance::transport::{Stored, TransportHarness};
//! use outbox_core::{Batch, Outcomes, Transport, TransportCapabilities, async_trait};
//!
//! /// The transport that is tested: a list.
//! #[derive(Debug, Clone, Default)]
//! struct List(Arc<Mutex<Vec<Stored>>>);
//!
//! #[async_trait]
//! impl Transport for List {
//!     fn capabilities(&self) -> TransportCapabilities {
//!         TransportCapabilities::new().max_payload(1 << 20)
//!     }
//!
//!     async fn publish(&self, batch: Batch, out: &Outcomes) {
//!         for m in batch.iter() {
//!             self.0.lock().unwrap().push(Stored::from(&m));
//!             out.delivered(m);
//!         }
//!     }
//! }
//!
//! struct ListHarness(List);
//!
//! impl TransportHarness for ListHarness {
//!     type Transport = List;
//!
//!     async fn start() -> Self {
//!         Self(List::default())
//!     }
//!
//!     async fn transport(&self) -> List {
//!         self.0.clone()
//!     }
//!
//!     async fn stored(&self) -> Vec<Stored> {
//!         self.0.0.lock().unwrap().clone()
//!     }
//! }
//!
//! // tests/conformance.rs, the whole file but for its imports:
//! outbox_conformance::transport_suite!(ListHarness);
//! # fn main() {
//! #     for case in outbox_conformance::transport::cases::<ListHarness>() {
//! #         case.test(ListHarness::start);
//! #     }
//! # }
//! ```
//!
//! A broker that speaks TCP is put behind a [`Proxy`], which the harness gives in
//! [`faults`](TransportHarness::faults): then the suite also loses replies, cuts connections in mid-run, and takes the
//! broker away. What a harness cannot show its cases report as "not shown" (`cargo test -- --nocapture` shows it).
//!
//! # What the suite finds
//! Every case is itself tested: against transports that are broken in one way each, and that fail this clause and no
//! other.
//!
//! | broken transport | clause |
//! |---|---|
//! | acknowledges what the broker has received, before it is stored | CONFIRM-1 |
//! | says `reject` of an outage | CONFIRM-2 |
//! | takes the silence of the broker for an acknowledgement | CONFIRM-3 |
//! | waits for acknowledgements in turn, for each as long as for one alone | CONFIRM-3 |
//! | says of a whole batch what became of its first message | CONFIRM-4 |
//! | says what became of a batch in the order of the answers | CONFIRM-4 |
//! | gives a refusal to whichever confirmation comes next | CONFIRM-4 |
//! | takes the success of a request for that of every entry in it | CONFIRM-4 |
//! | looks refusals up by the index alone, whichever publish it was | CONFIRM-5 |
//! | encodes the payload as UTF-8 | CONTENT-1 |
//! | gives each copy an id of its own | CONTENT-2 |
//! | sends an empty key where there is none | CONTENT-3 |
//! | drops headers that are not ASCII | CONTENT-4 |
//! | declares a deduplication window, and does not send the id to deduplicate by | DEDUP-1 |
//! | sends a batch to the partition of its first key | ORDER-1 |
//! | takes its place in the queue when it has encoded the batch | ORDER-2 |
//! | goes on with the next message when a connection was cut | ORDER-3 |
//! | sends again by itself what failed, behind later ones | ORDER-3 |
//! | declares a larger payload than the broker takes | LIMITS-2 |
//! | panics on a line break in a header | LIMITS-3 |
//! | leaves a message out that it cannot carry, and says nothing | LIMITS-3 |
//! | takes a message that was under way in a cut for sent | RECOVER-1 |
//! | gives up when a broker that it knew refuses it | RECOVER-2 |
//! | keeps the failure of its first connect for ever | RECOVER-3 |
//! | hangs after a publish that was dropped | CANCEL-1 |
//! | goes on behind a publish that was dropped | CANCEL-1 |
//! | panics when it is closed again | CLOSE-1 |
//! | says `delivered` after it was closed | CLOSE-2 |
//! | stays closed | CLOSE-3 |
//! | learns its limits from the broker | DECLARE-1 |
//!
//! `LIMITS-1` is the relay's own promise; no transport can break it.

mod cancel;
mod confirm;
mod content;
mod drive;
mod gap;
mod harness;
mod hostile;
mod limits;
mod order;
mod proxy;
mod recover;

pub use harness::{Faults, Stored, TransportHarness};
pub use proxy::Proxy;

/// What a case that needs [`Faults`] reports where there are none.
const FAULTS: &str = "way to break the connection";

crate::suite::suite! { ($)
    /// A `#[test]` for every clause of the contract of [`Transport`](outbox_core::Transport), for the given
    /// [`TransportHarness`](crate::transport::TransportHarness).
    transport_suite in transport for crate::transport::TransportHarness;
    confirm_1_acknowledged_means_stored: "CONFIRM-1" "`delivered` is said only on the broker's own acknowledgement of that message: what is delivered is stored." => confirm::acknowledged_means_stored;
    confirm_2_an_outage_is_unknown: "CONFIRM-2" "`reject` is said only of a message that this broker can never store, `destination` only of a topic that it does not have or refuses: a broker that cannot be reached is neither." => confirm::an_outage_is_unknown;
    confirm_3_a_lost_reply_is_unknown: "CONFIRM-3" "Everything else is `unknown`, a lost reply above all, and can be sent again. So is a message nothing was said of when `publish` returns, is cancelled or panics; what is said later is ignored." => confirm::a_lost_reply_is_unknown;
    confirm_4_a_refused_message_costs_only_itself: "CONFIRM-4" "A message that the broker refuses is refused with the reason and costs only itself: its neighbours are delivered, at the latest when they are sent again." => confirm::a_refused_message_costs_only_itself;
    confirm_5_publishes_at_once_do_not_mix: "CONFIRM-5" "Several `publish` calls run at once; what is said in each is about its own messages." => confirm::publishes_at_once_do_not_mix;
    content_1_the_payload_arrives_byte_for_byte: "CONTENT-1" "The payload is stored byte for byte, an empty one too." => content::the_payload_arrives_byte_for_byte;
    content_2_the_id_arrives: "CONTENT-2" "The message id is stored as it is, where consumers find it to deduplicate by." => content::the_id_arrives;
    content_3_topic_key_and_types_arrive: "CONTENT-3" "Topic, key, event type and content type are stored as they are; no key is not an empty key." => content::topic_key_and_types_arrive;
    content_4_headers_arrive: "CONTENT-4" "The headers are stored, names and values as they are." => content::headers_arrive;
    dedup_1_sent_again_within_the_window_it_is_stored_once: "DEDUP-1" "A message that is sent again within the declared `dedup_window` is stored once." => content::sent_again_within_the_window_it_is_stored_once;
    order_1_delivered_before_is_stored_before: "ORDER-1" "A message that is handed over after another of its key was delivered is stored behind it. With `KeyOrder::OneInFlight` that is all: the relay hands over the next of a key only then." => order::delivered_before_is_stored_before;
    order_2_order_of_first_polls: "ORDER-2" "With `KeyOrder::Gapless` messages are stored in the order handed over: the order in which the `publish` futures are first polled, and within a batch its own." => order::order_of_first_polls;
    order_3_no_gap_behind_a_cut: "ORDER-3" "With `KeyOrder::Gapless`, if a message is `unknown`, or its `destination` failed, no later one of its key and topic is stored before it was sent again, until every `publish` that was under way has returned." => gap::no_gap_behind_a_cut;
    limits_1_over_the_limits_it_is_never_published: "LIMITS-1" "A message over the declared `limits` never reaches `publish`: the relay makes it a dead letter." => limits::over_the_limits_it_is_never_published;
    limits_2_at_the_limits_it_is_stored: "LIMITS-2" "A message within the declared `limits` is stored, at the very bound of each too." => limits::at_the_limits_it_is_stored;
    limits_3_hostile_input_costs_only_itself: "LIMITS-3" "Whatever a message contains, `publish` does not panic or hang: the message is stored as it is, or refused with the reason, and its neighbours are delivered." => limits::hostile_input_costs_only_itself;
    recover_1_after_a_cut: "RECOVER-1" "When connections are cut, what was not delivered can be sent again by the same transport, and the order of each key's first copies is kept." => recover::after_a_cut;
    recover_2_after_an_outage: "RECOVER-2" "When the broker comes back after an outage, the same transport delivers again by itself." => recover::after_an_outage;
    recover_3_from_an_absent_broker: "RECOVER-3" "A transport is made while its broker is absent, and delivers when it is there." => recover::from_an_absent_broker;
    cancel_1_a_dropped_publish_leaves_the_transport_usable: "CANCEL-1" "A `publish` may be dropped at any time, such as at the relay's deadline: the transport stays usable, and what was handed over arrives as a duplicate at most, in order." => cancel::a_dropped_publish_leaves_the_transport_usable;
    close_1_close_loses_nothing: "CLOSE-1" "`close` after the last `publish` loses nothing, and may be called again." => cancel::close_loses_nothing;
    close_2_after_close_nothing_is_claimed: "CLOSE-2" "After `close` nothing is said to be delivered that is not stored." => cancel::after_close_nothing_is_claimed;
    close_3_it_can_be_used_again: "CLOSE-3" "What is published after `close` is delivered: a relay may be run again, and several may have one transport." => cancel::it_can_be_used_again;
    declare_1_capabilities_do_not_change: "DECLARE-1" "`capabilities` says the same whenever it is asked." => cancel::capabilities_do_not_change;
}
