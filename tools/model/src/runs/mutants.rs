//! One deliberate error each, and the property that it must break.

use super::*;
use crate::mutant::Mutant as M;
use crate::properties::*;

const CRASH: Budget = Budget { crash: 1, ..NONE };

pub(super) fn runs() -> Vec<Run> {
    [cursor(), fencing(), holes(), rest()].concat()
}

fn cursor() -> Vec<Run> {
    vec![
        breaks(
            NO_LOSS,
            "mutant: newer snapshot stored without probing the holes",
            Config { unprobed: true, hold_unprobed: true, ..mutant(M::SnapshotUnprobed, CRASH) },
        ),
        breaks(NO_LOSS, "mutant: no snapshot predicate", mutant(M::NoSnapshot, CRASH)),
        breaks(NO_LOSS, "mutant: unsettled not stored", mutant(M::NoUnsettled, CRASH)),
        breaks(
            NO_LOSS,
            "mutant: unsettled of the last batch only",
            Config { limit: 1, ..mutant(M::UnsettledLastBatch, CRASH) },
        ),
        breaks(
            NO_LOSS,
            "mutant: unsettled of the old position forgotten while scanning",
            Config {
                limit: 1,
                whole_scan: false,
                own_snapshot: false,
                ..mutant(M::UnsettledForgotten, Budget { crash: 2, ..NONE })
            },
        ),
        breaks(NO_LOSS, "mutant: floor = position", mutant(M::FloorAtPosition, CRASH)),
        breaks(COMPLETES, "mutant: takeover reads above the position only", mutant(M::ScanAbovePosition, CRASH)),
    ]
}

fn fencing() -> Vec<Run> {
    let three_of_one_key = || failover(vec![writer(1); 3], NONE);
    vec![
        breaks(
            NO_LOSS,
            "mutant: token not checked, failover",
            Config { mutant: M::NoTokenCheck, ..failover(free(2), NONE) },
        ),
        breaks(
            FENCING,
            "mutant: token not checked, database crash",
            Config { mutant: M::NoTokenCheck, ..kept(pair_and_free(), Budget { database: 1, ..NONE }) },
        ),
        breaks(ORDER, "mutant: fetch unchecked, failover", Config { mutant: M::FetchUnchecked, ..three_of_one_key() })
            .large(),
        breaks(
            DUPLICATES,
            "mutant: fetch unchecked, zombie + retention",
            Config {
                publish_deadline: false,
                mutant: M::FetchUnchecked,
                ..kept(pair(), Budget { zombie: 1, refused: 1, ..NONE })
            },
        ),
        breaks(
            ORDER,
            "mutant: fetch checks the epoch only, failover",
            Config { mutant: M::FetchNoToken, ..three_of_one_key() },
        )
        .large(),
        breaks(
            FENCING,
            "mutant: no epoch check, token kept by takeovers",
            Config { token_per_lease: false, ..mutant(M::NoEpochCheck, Budget { zombie: 1, ..NONE }) },
        ),
        breaks(
            FENCING,
            "mutant: parked rows outside the fence",
            mutant(M::ParkOutsideFence, Budget { zombie: 1, refused: 1, ..NONE }),
        ),
    ]
}

fn holes() -> Vec<Run> {
    vec![
        breaks(
            NO_LOSS,
            "mutant: writers listed before the read that skips",
            Config { ask_writers: true, ..mutant(M::WritersBeforeRead, NONE) },
        ),
        breaks(
            NO_LOSS,
            "mutant: writers listed after the fetch",
            Config { ask_writers: true, split_fetch: true, ..mutant(M::WritersAfterFetch, NONE) },
        ),
        breaks(NO_LOSS, "mutant: fence = xmax", mutant(M::FenceXmax, NONE)),
        breaks(NO_LOSS, "mutant: fence of an earlier statement", mutant(M::FenceEarly, NONE)),
        breaks(NO_LOSS, "mutant: xid after seq", mutant(M::XidAfterSeq, NONE)),
        breaks(NO_LOSS, "mutant: naive id cursor", mutant(M::NaiveCursor, NONE)),
        breaks(
            NO_LOSS,
            "mutant: cut inside the holes, those above die",
            Config { limit: 1, writers: free(3), ..mutant(M::CutIgnored, NONE) },
        ),
    ]
}

fn rest() -> Vec<Run> {
    vec![
        breaks(
            NO_LOSS,
            "mutant: retention by position only",
            Config { mutant: M::RetentionByPosition, ..kept(free(2), NONE) },
        ),
        breaks(
            NO_LOSS,
            "mutant: retention without the snapshot",
            Config { mutant: M::RetentionNoSnapshot, ..kept(free(2), NONE) },
        ),
        breaks(
            NO_LOSS,
            "mutant: retention of parked rows",
            Config { mutant: M::RetentionParked, ..kept(free(2), Budget { refused: 1, ..NONE }) },
        ),
        breaks(
            ORDER,
            "mutant: parked key forgotten at takeover",
            mutant(M::ParkedKeyForgotten, Budget { crash: 1, refused: 1, ..NONE }),
        )
        .large(),
        breaks(ORDER, "mutant: failed key not held", mutant(M::FailedKeyNotHeld, Budget { refused: 1, ..NONE })),
        breaks(
            ORDER,
            "mutant: two in flight a key, unknown outcome",
            mutant(M::TwoInFlight, Budget { unknown: 1, ..NONE }),
        ),
        breaks(
            COMPLETES,
            "mutant: parked and delivered between two settles stays unsettled",
            Config { unparked_settles: false, writers: free(2), ..faults(Budget { refused: 1, ..NONE }) },
        ),
        breaks(
            DUPLICATES,
            "mutant: the same, clean release",
            Config { unparked_settles: false, writers: free(2), ..faults(Budget { refused: 1, release: 1, ..NONE }) },
        ),
        breaks(
            COMPLETES,
            "mutant: reply of a settle lost, relay carries on",
            Config { lost_reply_restarts: false, ..kept(pair(), Budget { lost_reply: 1, refused: 1, ..NONE }) },
        ),
    ]
}
