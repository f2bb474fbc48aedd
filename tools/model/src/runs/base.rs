//! The protocol under each kind of fault: everything must hold.

use super::*;

pub(super) fn runs() -> Vec<Run> {
    let base = |writers, budget| kept(writers, budget);
    let split = |config| Config { split_fetch: true, ..config };
    vec![
        holds("base: no faults", plain()),
        holds("base: no faults, limit 1", Config { limit: 1, ..plain() }),
        holds("base: no faults, fetch in two steps", split(plain())),
        holds("base: no faults, 4 writers of one key", Config { writers: vec![writer(1); 4], ..plain() }).large(),
        holds(
            "base: two rows in one transaction, refused",
            Config {
                writers: vec![WriterConfig { rows: 2, ..writer(1) }, writer(1)],
                ..faults(Budget { refused: 1, ..NONE })
            },
        ),
        holds("base: retention + crash", base(pair_and_free(), Budget { crash: 1, ..NONE })).large(),
        holds("base: retention + crash twice, 2 writers", base(free(2), Budget { crash: 2, ..NONE })),
        holds("base: retention + crash + refused, one key", base(pair(), Budget { crash: 1, refused: 1, ..NONE })),
        holds(
            "base: retention + crash + refused, different keys",
            base(free(2), Budget { crash: 1, refused: 1, ..NONE }),
        ),
        holds(
            "base: cut inside the holes + crash, 3 writers",
            Config { limit: 1, ..base(free(3), Budget { crash: 1, ..NONE }) },
        )
        .large(),
        holds("base: unsettled capped + crash", Config { capped: true, ..base(free(3), Budget { crash: 1, ..NONE }) })
            .large(),
        holds(
            "base: zombie + refused + unknown, one key",
            base(pair(), Budget { zombie: 1, refused: 1, unknown: 1, ..NONE }),
        )
        .large(),
        holds("base: zombie + crash, different keys", base(free(2), Budget { zombie: 1, crash: 1, ..NONE })),
        holds("base: zombie, fetch in two steps", split(base(pair(), Budget { zombie: 1, ..NONE }))),
        holds("base: reply of a settle lost + crash", base(free(2), Budget { lost_reply: 1, crash: 1, ..NONE })),
        holds(
            "base: reply of a settle lost + refused, one key",
            base(pair(), Budget { lost_reply: 1, refused: 1, ..NONE }),
        ),
        holds("base: clean release twice", base(pair_and_free(), Budget { release: 2, ..NONE })).large(),
        holds("base: clean release + crash", base(free(2), Budget { release: 1, crash: 1, ..NONE })),
        holds("base: clean release + refused", base(pair(), Budget { release: 1, refused: 1, ..NONE })),
        holds("base: reset after the end of the lease", base(free(2), Budget { reset: 1, ..NONE })),
        holds(
            "base: reset after the end of the lease + rejected, one key",
            base(pair(), Budget { reset: 1, rejected: 1, ..NONE }),
        ),
        holds("base: database crash + crash", base(free(2), Budget { database: 1, crash: 1, ..NONE })).large(),
        holds("base: database crash + refused, one key", base(pair(), Budget { database: 1, refused: 1, ..NONE })),
        holds(
            "base: database crash, reply of a settle lost",
            base(pair(), Budget { database: 1, lost_reply: 1, ..NONE }),
        )
        .large(),
        holds("base: database crash, fetch in two steps", split(base(pair(), Budget { database: 1, ..NONE }))),
        holds("base: failover, 2 writers", failover(free(2), NONE)),
        holds("base: failover + crash, 2 writers", failover(free(2), Budget { crash: 1, ..NONE })).large(),
        holds("base: failover + zombie, one key", failover(pair(), Budget { zombie: 1, ..NONE })).large(),
        holds("base: failover + refused, one key", failover(pair(), Budget { refused: 1, ..NONE })).large(),
        holds(
            "base: failover + reply lost, one key",
            Config { sample: 16, ..failover(pair(), Budget { lost_reply: 1, ..NONE }) },
        )
        .large(),
        holds("base: failover, 3 writers of one key", failover(vec![writer(1); 3], NONE)).large(),
        holds("base: failover, fetch in two steps", split(failover(free(2), NONE))).large(),
        holds("base: failover, 3 writers", Config { sample: 64, ..failover(one_and_two_later(), NONE) }).large(),
        holds("base: writers asked", Config { ask_writers: true, ..plain() }),
        holds(
            "base: writers asked, foreign transaction",
            Config { writers: vec![writer(1), writer(1), foreign()], ask_writers: true, ..plain() },
        ),
        holds(
            "base: writers asked, foreign transaction, crash, fetch in two steps",
            Config {
                ask_writers: true,
                ..split(base(vec![writer(0), writer(0), foreign()], Budget { crash: 1, ..NONE }))
            },
        ),
        holds("base: writers asked, failover", Config { ask_writers: true, ..failover(free(2), NONE) }),
        holds(
            "simpler: takeover by asynchronous commit",
            Config { acquire_durable: false, ..base(pair(), Budget { database: 1, zombie: 1, ..NONE }) },
        )
        .large(),
        holds(
            "simpler: no epoch check, a token for each lease",
            Config { writers: pair(), ..mutant(Mutant::NoEpochCheck, Budget { zombie: 1, ..NONE }) },
        ),
    ]
}
