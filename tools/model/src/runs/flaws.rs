//! Where a first description of the protocol was silent or wrong, and what mends it.

use super::*;
use crate::properties::*;

pub(super) fn runs() -> Vec<Run> {
    [unprobed(), takeover(), restored()].concat()
}

fn unprobed() -> Vec<Run> {
    let mended = |config| Config { unprobed: true, hold_unprobed: true, ..config };
    vec![
        breaks(ORDER, "flaw: fetch leaves holes unprobed", Config { unprobed: true, ..plain() }),
        holds(
            "fix: its rows wait until every hole is probed",
            mended(kept(pair_and_free(), Budget { crash: 1, ..NONE })),
        )
        .large(),
        breaks(
            DUPLICATES,
            "flaw: fetch leaves holes unprobed, clean release",
            Config { unprobed: true, writers: free(2), ..faults(Budget { release: 1, ..NONE }) },
        ),
        holds("fix: the same, clean release", mended(kept(pair_and_free(), Budget { release: 1, ..NONE }))).large(),
        holds("fix: the same, dead letter + crash", mended(kept(pair(), Budget { rejected: 1, crash: 1, ..NONE }))),
    ]
}

/// A gap, two messages of one key, the second only after a crash, and a free one.
fn pieces(whole_scan: bool) -> Config {
    Config {
        writers: vec![writer(1), WriterConfig { after: After::Crash, ..writer(1) }, writer(0)],
        gaps: 1,
        limit: 1,
        whole_scan,
        own_snapshot: whole_scan,
        scan_skips_dead: false,
        sample: 256,
        ..faults(Budget { rejected: 1, crash: 2, ..NONE })
    }
}

fn takeover() -> Vec<Run> {
    let early = |config| Config { tokenless_waits: false, ..config };
    let database = Budget { database: 1, ..NONE };
    vec![
        breaks(ORDER, "flaw: takeover scans in pieces, dead letter", pieces(false)).large(),
        holds(
            "fix: takeover scans in pieces, dead letters count as settled",
            Config { scan_skips_dead: true, ..pieces(false) },
        )
        .large(),
        holds(
            "fix: takeover scans in pieces, dead only with a snapshot that sees the row",
            Config { dead_seen: true, ..pieces(false) },
        )
        .large(),
        holds("fix: takeover scans whole, dead letter", pieces(true)).large(),
        breaks(
            ONE_PUBLISHER,
            "flaw: renewals lost in a database crash, takeover trusts expires_at",
            early(kept(pair(), database)),
        ),
        breaks(ORDER, "flaw: the same with dead letters", early(kept(pair(), Budget { rejected: 1, ..database }))),
        breaks(
            ONE_PUBLISHER,
            "flaw: wait without a token counted over another's lease",
            Config { wait_restarts: false, failover: true, ..kept(vec![writer(0)], Budget { database: 2, ..NONE }) },
        ),
        breaks(ORDER, "flaw: the same with failover", early(failover(pair(), Budget { rejected: 1, ..NONE }))),
    ]
}

fn restored() -> Vec<Run> {
    let two = || vec![writer(0), later(0)];
    let crash = Budget { crash: 1, ..NONE };
    // A scan in pieces, whose first fetches may leave holes unprobed: the stored snapshot may be the old cluster's.
    let old_snapshot = |config| Config {
        unprobed: true,
        hold_unprobed: true,
        whole_scan: false,
        own_snapshot: false,
        sample: 256,
        ..config
    };
    vec![
        breaks(NO_LOSS, "flaw: dump holds the token", Config { dump_has_token: true, ..restore(two(), NONE) }),
        breaks(
            COMPLETES,
            "flaw: restore, predicate has no floor",
            Config { floor_settles: false, ..restore(free(2), NONE) },
        ),
        holds("fix: restore, token bound to the server", restore(one_and_two_later(), NONE)).large(),
        holds("restore, position trusted, crash", restore(two(), crash)),
        holds("restore, floor only, crash", Config { trust_floor: true, ..restore(two(), crash) }),
        breaks(
            NO_LOSS,
            "mutant: restore, position trusted, snapshot of the old cluster stored on",
            old_snapshot(restore(one_and_two_later(), NONE)),
        )
        .large(),
        breaks(
            NO_LOSS,
            "flaw: restore, floor only, snapshot of the old cluster stored on",
            Config { trust_floor: true, ..old_snapshot(restore(one_and_two_later(), NONE)) },
        )
        .large(),
        holds(
            "fix: position beyond the one found only with an own snapshot",
            Config { own_snapshot: true, ..old_snapshot(restore(one_and_two_later(), NONE)) },
        )
        .large(),
    ]
}
