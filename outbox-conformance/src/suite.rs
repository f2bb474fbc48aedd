//! What the suites have in common: a case for every clause of a contract, and how it is run and told of.

use std::any::Any;
use std::fmt;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use futures_util::future::LocalBoxFuture;

/// A case that takes longer has not been answered. No case sleeps.
const PATIENCE: Duration = Duration::from_secs(120);

/// How a case ended.
pub type Outcome = Result<Passed, Seen>;

/// A case that passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Passed {
    /// The promise was kept.
    Kept,
    /// The promise is about a capability that is not declared, and indeed is not there.
    NotDeclared(&'static str),
    /// The harness has no hook by which it could be seen.
    NotShown(&'static str),
}

/// What was seen instead of what was promised.
#[derive(Clone, PartialEq, Eq)]
pub struct Seen(String);

impl Seen {
    /// In words, such as "message 3 was handed out twice".
    pub fn new(what: impl Into<String>) -> Self {
        Self(what.into())
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An error where none was due: with its causes, on one line.
impl<E: std::error::Error> From<E> for Seen {
    fn from(error: E) -> Self {
        let mut text = format!("the error \"{error}");
        let mut next = error.source();
        while let Some(cause) = next {
            text.push_str(&format!(": {cause}"));
            next = cause.source();
        }
        Self(text + "\"")
    }
}

/// The case of one clause, for a harness `H`.
pub struct Case<H> {
    id: &'static str,
    name: &'static str,
    promise: &'static str,
    run: fn(H) -> LocalBoxFuture<'static, Outcome>,
}

impl<H> fmt::Debug for Case<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Case").field("id", &self.id).field("name", &self.name).finish_non_exhaustive()
    }
}

impl<H: 'static> Case<H> {
    pub(crate) fn new(
        id: &'static str,
        name: &'static str,
        promise: &'static str,
        run: fn(H) -> LocalBoxFuture<'static, Outcome>,
    ) -> Self {
        Self { id, name, promise, run }
    }

    /// The clause's id, such as `LEASE-1`.
    pub fn id(&self) -> &'static str {
        self.id
    }

    /// The name of the test.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The clause, word for word as in the documentation of the trait.
    pub fn promise(&self) -> &'static str {
        self.promise
    }

    /// Runs it, with the harness that `start` gives, in a thread and a current-thread tokio runtime of its own. A panic
    /// is an outcome too.
    ///
    /// # Errors
    /// What was seen instead of what was promised.
    pub fn run(&self, start: impl AsyncFnOnce() -> H + Send + 'static) -> Outcome {
        let (run, (done, outcome)) = (self.run, channel());
        let work = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            _ = done.send(runtime.block_on(async move { run(start().await).await }));
            Ok::<_, Seen>(())
        };
        let thread = std::thread::Builder::new().name(self.name.into()).spawn(work)?;
        match outcome.recv_timeout(PATIENCE) {
            Ok(outcome) => outcome,
            Err(RecvTimeoutError::Timeout) => Err(Seen::new(format!("no answer within {PATIENCE:?}"))),
            // The thread ended without an outcome.
            Err(RecvTimeoutError::Disconnected) => match thread.join() {
                Ok(Err(seen)) => Err(seen),
                Ok(Ok(())) => Err(Seen::new("nothing")),
                Err(panic) => Err(Seen::new(format!("the panic \"{}\"", words(&*panic)))),
            },
        }
    }

    /// Runs it as a test does: prints how it passed.
    ///
    /// # Panics
    /// With the clause, what was promised and what was seen, unless it passed.
    pub fn test(&self, start: impl AsyncFnOnce() -> H + Send + 'static) {
        match self.run(start) {
            Ok(Passed::Kept) => println!("{}: kept", self.id),
            Ok(Passed::NotDeclared(what)) => println!("{}: not declared: {what}; it was not seen either", self.id),
            Ok(Passed::NotShown(hook)) => println!("{}: not shown: the harness has no {hook}", self.id),
            Err(seen) => panic!("{} is broken\n  promised: {}\n  seen:     {seen}", self.id, self.promise),
        }
    }
}

fn words(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("of another type than text")
}

/// Leaves a case with what was seen (a format string and its arguments), unless the condition holds.
macro_rules! ensure {
    ($condition:expr, $($seen:tt)+) => {
        if !$condition {
            return Err($crate::Seen::new(format!($($seen)+)));
        }
    };
}
pub(crate) use ensure;

/// The registry of a suite: `suite! { ($) /** doc */ name in module for Trait; test_name: "ID" "promise" =>
/// path::of::case; ... }`.
///
/// It makes `cases::<H>()`, `test::<H>(name)`, and the exported macro `name!(H)` with a test for every case. `Trait`
/// has a constructor `async fn start() -> Self`; a case is an `async fn(H) -> Outcome`.
macro_rules! suite {
    (($d:tt) $(#[$doc:meta])* $name:ident in $module:ident for $harness:path;
     $($test:ident: $id:literal $promise:literal => $case:path;)+) => {
        /// The case of every clause, in the order of the contract.
        pub fn cases<H: $harness + 'static>() -> Vec<$crate::Case<H>> {
            vec![$($crate::Case::new($id, stringify!($test), $promise, |harness| Box::pin($case(harness)))),+]
        }

        /// Runs the case of that name.
        ///
        /// # Panics
        /// With the clause, what was promised and what was seen, unless it passed; and for a name that no case has.
        pub fn test<H: $harness + 'static>(name: &str) {
            let case = cases::<H>().into_iter().find(|case| case.name() == name);
            case.unwrap_or_else(|| panic!("there is no case {name}")).test(<H as $harness>::start);
        }

        $(#[$doc])*
        #[macro_export]
        macro_rules! $name {
            ($d harness:ty) => {
                $(
                    #[test]
                    fn $test() {
                        $d crate::$module::test::<$d harness>(stringify!($test));
                    }
                )+
            };
        }
    };
}
pub(crate) use suite;
