//! Dead letters: all rules, and each rule broken.

use super::*;
use crate::properties::*;

pub(super) fn runs() -> Vec<Run> {
    let dead = |budget| kept(pair(), Budget { rejected: 1, ..budget });
    let rejected = Budget { rejected: 1, ..NONE };
    vec![
        holds("dead letters: crash + zombie", dead(Budget { crash: 1, zombie: 1, ..NONE })).large(),
        holds("dead letters: unknown + refused", dead(Budget { unknown: 1, refused: 1, ..NONE })),
        holds("dead letters: refused + crash", dead(Budget { refused: 1, crash: 1, ..NONE })),
        holds("dead letters: unknown + crash", dead(Budget { unknown: 1, crash: 1, ..NONE })),
        holds("dead letters: unknown + database crash", dead(Budget { unknown: 1, database: 1, ..NONE })).large(),
        holds("dead letters: database crash + reply lost", dead(Budget { database: 1, lost_reply: 1, ..NONE })).large(),
        holds("dead letters: database crash + zombie", dead(Budget { database: 1, zombie: 1, ..NONE })).large(),
        holds("dead letters: failover", failover(pair(), rejected)),
        holds("dead letters: 3 writers", kept(pair_and_free(), Budget { crash: 1, ..rejected })).large(),
        breaks(
            ORDER,
            "dead letters: (a) key released before the settle is confirmed",
            Config { dead_holds_key: false, writers: pair(), ..faults(Budget { crash: 1, ..rejected }) },
        ),
        breaks(
            ORDER,
            "dead letters: (a) the same for what was parked behind it",
            Config { dead_holds_parked: false, writers: pair(), ..faults(Budget { refused: 1, crash: 1, ..rejected }) },
        ),
        breaks(
            ORDER,
            "dead letters: (b) settled asynchronously",
            Config { dead_durable: false, ..dead(Budget { database: 1, ..NONE }) },
        ),
        breaks(
            ORDER,
            "dead letters: (c) given up while an attempt may arrive",
            Config { dead_waits: false, writers: pair(), ..faults(Budget { unknown: 1, ..rejected }) },
        ),
        breaks(
            ORDER,
            "dead letters: (d) publish outlives the lease",
            Config { publish_deadline: false, writers: pair(), ..faults(Budget { zombie: 1, ..rejected }) },
        ),
    ]
}
