//! The mutants: a broken store each, and the clause that must catch it.

use std::sync::Arc;

use crate::broken::Defect;
use crate::desks::Desk;
use crate::handing::{
    AlwaysNow, Filtering, Filters, LosesAtPageEnd, NeverNow, NewestFirst, OneTooMany, OrdersByKey, RepeatsAtPageEnd,
};
use crate::leasing::{
    BookKeeper, Books, ConstantEpoch, LooksThenTakes, NeverReleases, ReleasesAll, Stale, TellsWholeLease, Unfenced,
};
use crate::notes::Notes;
use crate::others::{Blocks, Busy, Change, Changes, FindsBySignal, Milliseconds, Shares, Sharing, Signalled, Signals};
use crate::rare::{Deletes, Retention, Sequence};
use crate::settling::{
    AppliesHalf, BuriesWithoutHeaders, HandsOutParked, KeepsDeadLettersTwice, OnePosition, Parking, Parks, Position,
    ReadsAllOrNothing, RefusesLongErrors, WritesDeadLettersLater,
};
use crate::writing::{
    CutsLargeTransactions, IgnoresSavepoints, KeepsRolledBack, Late, ReadsUncommitted, RefusalPoisons, SequenceReader,
    WritesBackwards,
};

pub(crate) struct Mutant {
    pub(crate) name: &'static str,
    pub(crate) clause: &'static str,
    pub(crate) wrong: &'static str,
    pub(crate) defect: fn() -> Arc<dyn Defect>,
}

macro_rules! mutants {
    ($($name:literal $clause:literal $wrong:literal $defect:expr;)+) => {
        pub(crate) const MUTANTS: &[Mutant] =
            &[$(Mutant { name: $name, clause: $clause, wrong: $wrong, defect: || Arc::new($defect) }),+];
    };
}

mutants! {
    "reads-uncommitted" "ATOMIC-1" "a fetch sees what open transactions have enqueued" ReadsUncommitted::default();
    "keeps-rolled-back" "ATOMIC-2" "a rollback commits" KeepsRolledBack;
    "ignores-savepoints" "ATOMIC-3" "a savepoint that is rolled back keeps its message" IgnoresSavepoints;
    "refusal-poisons" "ATOMIC-4" "a refused message costs the whole transaction" RefusalPoisons;
    "looks-then-takes" "LEASE-1" "two owners that ask at the same instant both get the lease" LooksThenTakes::default();
    "unfenced-fetch" "LEASE-2" "a fetch does not look at the epoch" Unfenced::new(Stale::Fetch);
    "unfenced-read" "LEASE-2" "a read does not look at the epoch" Unfenced::new(Stale::Read);
    "unfenced-settle" "LEASE-2" "a settlement does not look at the epoch" Unfenced::new(Stale::Settle);
    "unfenced-release" "LEASE-2" "a release does not look at the epoch" Unfenced::new(Stale::Release);
    "settles-anyway" "LEASE-2" "a stale settlement is refused, and applied" Unfenced::new(Stale::SettleAnyway);
    "hides-lost-lease" "LEASE-2" "a lost lease is reported as a database that is away" Unfenced::new(Stale::AnotherError);
    "never-releases" "LEASE-3" "a release does nothing" NeverReleases;
    "never-expires" "LEASE-4" "an expired lease stays with its owner" BookKeeper::new(Books::NeverExpires);
    "owner-waits" "LEASE-5" "the owner has to wait for its own lease" BookKeeper::new(Books::OwnerWaits);
    "constant-epoch" "LEASE-6" "every lease has the epoch 1" ConstantEpoch;
    "tells-whole-lease" "LEASE-7" "`Held` tells the length of the lease, not what is left of it" TellsWholeLease;
    "releases-all" "LEASE-8" "a release gives up the leases of all names" ReleasesAll::default();
    "cuts-large-transactions" "FETCH-1" "behind the first hundred, messages of a transaction are lost" CutsLargeTransactions;
    "loses-at-page-end" "FETCH-1" "a full page of fifty loses its last message" LosesAtPageEnd;
    "repeats-at-page-end" "FETCH-1" "the last message of a full page comes again" RepeatsAtPageEnd::default();
    "writes-backwards" "FETCH-2" "a transaction's messages are written last one first" WritesBackwards;
    "late-last" "FETCH-2" "a late commit is handed out behind what came after it" SequenceReader::new(Late::Last);
    "newest-first" "FETCH-3" "a successor is handed out new messages first" NewestFirst::default();
    "highest-position" "FETCH-3" "the cursor moves to the highest message delivered" OnePosition::new(Position::Highest);
    "one-too-many" "FETCH-4" "a batch holds one message more than it may" OneTooMany;
    "orders-by-key" "FETCH-4" "a batch is ordered by key" OrdersByKey;
    "empty-page" "FETCH-5" "a page of other topics is handed out as an empty batch" Filters::new(Filtering::EmptyPage);
    "late-lost" "FETCH-6" "a late commit below the cursor is lost" SequenceReader::new(Late::Lost);
    "late-lost-at-takeover" "FETCH-7" "a late commit below the cursor that a successor found is lost" SequenceReader::new(Late::LostAtTakeover);
    "like" "TOPIC-1" "`_` in a pattern stands for any character" Filters::new(Filtering::Like);
    "case-blind" "TOPIC-1" "capital letters in topics do not count" Filters::new(Filtering::CaseBlind);
    "leaves-others" "TOPIC-2" "messages of other topics stay unsettled" Filters::new(Filtering::LeavesOthers);
    "always-now" "START-1" "`StartAt::Now` moves a name that was held before" AlwaysNow::default();
    "never-now" "START-2" "`StartAt::Now` is not looked at" NeverNow;
    "now-loses-open" "START-2" "what was open when a name began with `Now` is lost" SequenceReader::new(Late::LostAtStart);
    "reads-all-or-nothing" "READ-1" "a read fails when one of the messages is gone" ReadsAllOrNothing;
    "applies-half" "SETTLE-1" "where messages were delivered, the rest of a settlement is forgotten" AppliesHalf;
    "no-renewal" "SETTLE-1" "a settlement does not renew the lease" BookKeeper::new(Books::NoRenewal);
    "first-gap" "SETTLE-2" "what was delivered above the first unsettled message is forgotten" OnePosition::new(Position::FirstGap);
    "hands-out-parked" "SETTLE-2" "a successor is handed out what is parked" HandsOutParked::default();
    "dead-letters-later" "SETTLE-3" "dead letters are written with the next settlement" WritesDeadLettersLater::default();
    "dead-letters-twice" "SETTLE-4" "a dead letter that is settled again is kept twice" KeepsDeadLettersTwice::default();
    "forgets-waiting" "PARK-1" "what waits behind a parked message is not given" Parks::new(Parking::ForgetsWaiting);
    "keeps-first-figures" "PARK-2" "the figures of a later attempt are ignored" Parks::new(Parking::KeepsFirstFigures);
    "never-unparks" "PARK-3" "an unparked message stays parked" Parks::new(Parking::NeverUnparks);
    "buries-without-headers" "DEAD-1" "a dead letter has no headers" BuriesWithoutHeaders;
    "keeps-dead-parked" "DEAD-2" "a dead letter that was parked stays parked" Parks::new(Parking::KeepsDead);
    "payload-as-text" "KEEP-1" "payloads are stored as UTF-8" Changes(Change::PayloadAsText);
    "small-letters" "KEEP-2" "keys are stored in small letters" Changes(Change::SmallLetters);
    "new-id" "KEEP-3" "the store gives messages ids of its own" Changes(Change::NewId);
    "key-for-all" "KEEP-3" "a message without a key gets one" Changes(Change::KeyForAll);
    "milliseconds" "KEEP-4" "`created_at` is in milliseconds" Milliseconds;
    "refuses-long-errors" "KEEP-5" "a settlement with a long error fails" RefusesLongErrors;
    "signals-nobody" "WAKE-1" "no signal is ever given" Signals::new(Signalled::Nobody);
    "signals-one" "WAKE-1" "only the first of two relays is signalled" Signals::new(Signalled::OnlyTheFirst);
    "finds-by-signal" "WAKE-2" "a message whose signal nobody took is not found" FindsBySignal::default();
    "one-for-all" "FAN-OUT-1" "a message is handed out to one name only" Shares::new(Sharing::OneForAll);
    "deletes-settled" "REPLAY-1" "what was settled is deleted, though replay is declared" Shares::new(Sharing::Deletes);
    "deletes-settled-by-one" "RETENTION-1" "retention deletes what one name has settled" Retention::new(Deletes::SettledByOne);
    "deletes-parked" "RETENTION-1" "retention deletes what a name has parked" Retention::new(Deletes::Parked);
    "hides-rewind" "SEQUENCE-1" "a sequence that began anew is not noticed" Sequence::new(false);
    "settle-blocked" "CALL-1" "a settlement during a fetch fails" Blocks::new(Busy::Settling);
    "acquire-blocked" "CALL-2" "after a fetch that was dropped, the name cannot be acquired" Blocks::new(Busy::Acquiring);
    "undeclared-replay" "CAPABILITY-1" "the store can replay and does not say so" Shares::new(Sharing::NotDeclared);
    "counts-twice" "CRASH-1" "each crash counts twice" Notes::CountsTwice;
    "forgets-suspect" "CRASH-2" "what was noted is not told" Notes::ForgetsSuspect;
    "lists-all-keys" "ADMIN-1" "a filter of dead letters ignores the key" Desk::ListsAllKeys;
    "loses-replayed" "ADMIN-2" "a dead letter that is replayed is deleted" Desk::LosesReplayed;
    "replays-at-once" "ADMIN-3" "the pace of a replay is ignored" Desk::ReplaysAtOnce;
    "discards-nothing" "ADMIN-4" "discarding only counts" Desk::DiscardsNothing;
    "retries-nothing" "ADMIN-5" "attempts are not given anew" Desk::RetriesNothing;
    "forgets-paused-keys" "ADMIN-6" "the orders of a relay have no keys" Desk::ForgetsKeys;
    "constant-revision" "ADMIN-7" "the revision never rises" Desk::ConstantRevision;
    "forgets-attempts" "ADMIN-8" "of what attempts ended in only the newest is kept" Desk::ForgetsAttempts;
}
