use std::time::Duration;

/// Exponential: doubles from `first` to `max`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Backoff {
    pub(crate) first: Duration,
    pub(crate) max: Duration,
    pub(crate) jitter: Jitter,
}

/// What is taken off a wait at random, so that many do not return together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Jitter {
    None,
    /// Up to half: it is a probe, and there is little use in an early one.
    Half,
    /// Up to all of it, which spreads best (Brooker, "Exponential Backoff And Jitter", 2015).
    Full,
}

impl Backoff {
    /// The wait after the `n`th failure in a row, counted from 1. `random` is any number.
    pub(crate) fn after(self, n: u32, random: u64) -> Duration {
        let full = self.longest(n);
        let share = u32::try_from(random % 1_024).unwrap_or(0);
        match self.jitter {
            Jitter::None => full,
            Jitter::Half => full - full / 2 * share / 1_024,
            Jitter::Full => full / 1_024 * (share + 1),
        }
    }

    /// Without what is taken off.
    pub(crate) fn longest(self, n: u32) -> Duration {
        self.first.saturating_mul(1 << n.saturating_sub(1).min(30)).min(self.max)
    }

    /// All waits between so many attempts, at their longest.
    pub(crate) fn all(self, attempts: u32) -> Duration {
        let waits = attempts.saturating_sub(1);
        // Doubled 31 times, a wait does not grow any more.
        let last = self.longest(u32::MAX).saturating_mul(waits.saturating_sub(32));
        (1..=waits.min(32)).map(|n| self.longest(n)).fold(last, Duration::saturating_add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_and_are_spread_as_said() {
        let seconds = Duration::from_secs;
        let backoff = |jitter| Backoff { first: seconds(1), max: seconds(10), jitter };
        for (n, full) in [(1, 1), (2, 2), (3, 4), (4, 8), (5, 10), (99, 10)] {
            assert_eq!(backoff(Jitter::None).after(n, 7), seconds(full));
            for (jitter, least) in [(Jitter::Half, seconds(full) / 2), (Jitter::Full, Duration::ZERO)] {
                let waits: Vec<_> = (0..1_024).map(|random| backoff(jitter).after(n, random)).collect();
                let (min, max) = (waits.iter().min().expect("some"), waits.iter().max().expect("some"));
                assert!(*min > least && *min < least + seconds(full) / 100 || jitter == Jitter::Half, "{min:?}");
                assert!(
                    *min >= least && *max <= seconds(full) && *max > seconds(full) * 99 / 100,
                    "{jitter:?} {max:?}"
                );
            }
        }
    }
}
