//! Where the code of the project keeps less than the rules, and what follows from it. A rule that the code keeps again
//! moves to the mutants.

use super::*;
use crate::properties::*;

pub(super) fn runs() -> Vec<Run> {
    let release = Budget { release: 1, ..NONE };
    let first = |config| Config { first_waits: false, ..config };
    let reset = |budget| Config { reset_waits: false, ..kept(pair(), Budget { reset: 1, ..budget }) };
    vec![
        // A failover between the lease and the scan, whose connection is a new one: the old cursor judges new rows.
        breaks(ORDER, "shipped: takeover scan not fenced, failover", Config { scan_fenced: false, ..scan() }),
        holds("fix: takeover scan fenced, failover", scan()),
        // What was delivered between two ranges that the cap joins comes again, without any fault.
        breaks(
            DUPLICATES,
            "shipped: unsettled capped, clean release",
            Config { capped: true, writers: free(3), ..faults(release) },
        ),
        // The snapshot of a fetch that was cut is not stored; nor is a later one, when the drain ends before it.
        breaks(
            DUPLICATES,
            "shipped: cut inside the holes, clean release",
            Config { limit: 1, writers: free(3), ..faults(release) },
        ),
        // A name at epoch 0 does not wait, but its first lease may be what a failover lost.
        breaks(ONE_PUBLISHER, "shipped: no wait at epoch 0, failover", first(failover(pair(), NONE))),
        breaks(
            ORDER,
            "shipped: no wait at epoch 0, failover + dead letter",
            first(failover(pair(), Budget { rejected: 1, ..NONE })),
        ),
        // A reset sets the name free at once, while the holder still publishes what it has.
        breaks(ONE_PUBLISHER, "shipped: reset under a live holder", reset(NONE)),
        breaks(ORDER, "shipped: reset under a live holder + dead letter", reset(Budget { rejected: 1, ..NONE })),
    ]
}

/// Two rows of one transaction that the failover loses, then two messages of one key with the same seqs.
fn scan() -> Config {
    Config {
        failover: true,
        unreplicated: true,
        writers: vec![WriterConfig { rows: 2, ..writer(0) }, later(1), later(1)],
        ..faults(Budget { database: 1, ..NONE })
    }
}
