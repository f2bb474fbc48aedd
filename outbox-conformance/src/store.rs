//! The suite for implementations of [`Store`](outbox_core::Store): one test for every clause of its contract.
#![doc = include_str!("store/guide.md")]
#![doc = include_str!("store/mutants.md")]

mod admin;
mod atomic;
mod calls;
mod capability;
mod crash;
mod desk;
mod fetch;
mod harness;
mod keep;
mod lease;
mod overlap;
mod park;
mod settle;
mod start;

pub use harness::{LEASE, StoreHarness};

crate::suite::suite! { ($)
    /// A `#[test]` for every clause of the contract of [`Store`](outbox_core::Store), with the given
    /// [`StoreHarness`](crate::store::StoreHarness).
    store_suite in store for crate::store::StoreHarness;
    atomic_1_committed: "ATOMIC-1" "A message can be handed out when its transaction has committed, and not before." => atomic::committed;
    atomic_2_rolled_back: "ATOMIC-2" "What was enqueued in a transaction that was rolled back is never handed out." => atomic::rolled_back;
    atomic_3_savepoint: "ATOMIC-3" "What was enqueued behind a savepoint that was rolled back is never handed out; the rest of its transaction is." => atomic::savepoint;
    atomic_4_refused: "ATOMIC-4" "A message out of the limits is refused at enqueue with `InvalidMessage`; the transaction goes on." => atomic::refused;
    lease_1_one_holder: "LEASE-1" "At most one lease per relay name is valid at any time; the store's own clock decides." => lease::one_holder;
    lease_2_fenced: "LEASE-2" "Every call with a lease that is no longer valid fails with `LeaseLost` and changes nothing." => lease::fenced;
    lease_3_released: "LEASE-3" "A released name can be acquired at once." => lease::released;
    lease_4_expired: "LEASE-4" "A lease that was not renewed for its length can be taken over by another owner." => lease::expired;
    lease_5_same_owner: "LEASE-5" "The same owner can take its own lease over at once." => lease::same_owner;
    lease_6_epochs: "LEASE-6" "The epoch rises with every acquisition of a name." => lease::epochs;
    lease_7_held: "LEASE-7" "`Held` tells at most the time that the lease still holds." => lease::held;
    lease_8_names: "LEASE-8" "Leases of different names do not touch each other." => lease::names;
    fetch_1_exactly_once: "FETCH-1" "Every committed message is handed out by `fetch` exactly once within a lease, unless it was settled before." => fetch::exactly_once;
    fetch_2_key_order: "FETCH-2" "Of two messages of one key, the one whose enqueue began after the other's commit is handed out later; those of one transaction keep their order." => fetch::key_order;
    fetch_3_unsettled_first: "FETCH-3" "After `acquire`, what an earlier lease handed out and did not settle is handed out before anything newer." => fetch::unsettled_first;
    fetch_4_limits: "FETCH-4" "A batch holds at most `FetchLimits::messages`, ascending by `seq`." => fetch::limits;
    fetch_5_empty_at_the_end: "FETCH-5" "A batch is empty only when nothing is left to hand out." => fetch::empty_at_the_end;
    fetch_6_late_commit: "FETCH-6" "A message that commits late, when one with a later place was handed out, is handed out all the same." => overlap::late;
    fetch_7_late_after_takeover: "FETCH-7" "A message that commits late, after a takeover, is handed out to the successor." => overlap::late_after_takeover;
    topic_1_filter: "TOPIC-1" "Only messages are handed out whose topic the request's filter matches." => start::filter;
    topic_2_others_settled: "TOPIC-2" "With `fan_out`, messages of other topics count as settled." => start::others_are_settled;
    start_1_goes_on: "START-1" "A new name starts with the first message that is kept; one that was held goes on where it stood, whatever it asks for." => start::goes_on;
    start_2_now: "START-2" "With `StartAt::Now` a new name is handed out what commits from then on, also what was enqueued before, and nothing else; without `replay`, a store may refuse it with `Config`." => start::now;
    read_1_parked: "READ-1" "`read` gives the parked messages that it is asked for, whole; a number that no message has is left out." => park::read;
    settle_1_whole: "SETTLE-1" "A settlement is applied as a whole or not at all, and renews the lease." => settle::whole_and_renews;
    settle_2_never_again: "SETTLE-2" "What was settled is never handed out again; a parked message only by `read`." => settle::never_again;
    settle_3_durable_dead_letter: "SETTLE-3" "A settlement with dead letters is durable when `settle` returns." => settle::durable_dead_letter;
    settle_4_repeated: "SETTLE-4" "A settlement that is repeated changes nothing." => settle::repeated;
    park_1_given_by_acquire: "PARK-1" "`acquire` gives what is parked, ascending by `seq`, with key, attempts, last error and the time to the next attempt." => park::given_by_acquire;
    park_2_parked_again: "PARK-2" "Of a message that is parked again, the new figures count." => park::parked_again;
    park_3_unparked: "PARK-3" "What was unparked, parked in the store before or not, is parked no longer, and never handed out again." => park::unparked;
    dead_1_whole: "DEAD-1" "A dead letter keeps the whole message and the reason." => park::letter_is_whole;
    dead_2_gone: "DEAD-2" "A dead letter is parked no longer, and never handed out again." => park::dead_is_gone;
    keep_1_payload: "KEEP-1" "A payload is kept byte for byte, whatever its content type." => keep::payload;
    keep_2_text: "KEEP-2" "Topic, key, event type, content type and headers are kept as written, in any script; headers in any order." => keep::text;
    keep_3_identity: "KEEP-3" "The id is kept; what a message does not have stays absent." => keep::identity;
    keep_4_created_at: "KEEP-4" "`created_at` is the time of the transaction, by the store's clock." => keep::created_at;
    keep_5_errors: "KEEP-5" "Errors and reasons of any text are taken, and at least their first 1,000 characters kept, without NUL." => keep::errors;
    wake_1_signal: "WAKE-1" "Every source of `wakeups` that is waited for completes when a message was committed." => calls::signal;
    wake_2_lost: "WAKE-2" "A signal that nobody waited for costs nothing." => calls::lost_signal;
    fan_out_1_names: "FAN-OUT-1" "With `fan_out`, every relay name is handed out every message, and settles for itself alone." => capability::fan_out;
    replay_1_new_name: "REPLAY-1" "With `replay`, a new relay name is handed out what others have settled." => capability::replay;
    retention_1_settled_by_all: "RETENTION-1" "With `retention`, what every relay name has settled can be deleted, and nothing else." => capability::retention;
    sequence_1_went_back: "SEQUENCE-1" "When the messages' sequence began anew, `acquire` fails with `SequenceWentBack`." => start::went_back;
    call_1_at_the_same_time: "CALL-1" "`fetch`, `read` and `settle` may run at the same time, each of them once." => calls::at_the_same_time;
    call_2_dropped: "CALL-2" "A call that was dropped half-way leaves the name free to be acquired." => calls::dropped;
    capability_1_declared: "CAPABILITY-1" "`capabilities` declares all of `fan_out`, `replay` and `retention` that the store can do." => capability::declared;
    crash_1_counted: "CRASH-1" "A takeover of a lease that another owner did not give up counts as a crash, until something is settled; one of a lease that was given up, or by the same owner, does not." => crash::counted;
    crash_2_noted: "CRASH-2" "What was noted is told to the next owner after a crash; with an outage noted, no crash is counted." => crash::noted;
    admin_1_lists: "ADMIN-1" "Dead letters are listed whole, page by page, and filtered by everything that a filter has." => admin::lists;
    admin_2_replays: "ADMIN-2" "A dead letter that is replayed is parked for its relay alone, at no attempt, and is a dead letter no more." => admin::replays;
    admin_3_paces: "ADMIN-3" "With a pace, replayed messages become due one after the other, in their order." => admin::paces;
    admin_4_discards: "ADMIN-4" "A dead letter that was discarded is gone, and never handed out again." => admin::discards;
    admin_5_waiting: "ADMIN-5" "A message that waits is listed; `retry` makes it due at once, at no attempt; `give_up` makes it a dead letter." => admin::waiting;
    admin_6_pauses: "ADMIN-6" "Pauses of a relay and of its keys show in `orders` and in `paused`, until they are resumed." => admin::pauses;
    admin_7_revises: "ADMIN-7" "Whatever changes what a relay has to do raises the revision in its `orders`." => admin::revises;
    admin_8_tells_attempts: "ADMIN-8" "With a dead letter is told what its failed attempts ended in, the newest first." => admin::tells_attempts;
}
