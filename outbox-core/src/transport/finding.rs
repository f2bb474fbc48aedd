use std::fmt;

/// Something about a broker that will cost messages time or order, found before the first publish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    what: String,
    advice: String,
}

impl Finding {
    /// `what` is the case, with its figures; `advice` names the setting to change, here or at the broker.
    pub fn new(what: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { what: what.into(), advice: advice.into() }
    }

    /// What is the case.
    pub fn what(&self) -> &str {
        &self.what
    }

    /// What to do.
    pub fn advice(&self) -> &str {
        &self.advice
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.advice)
    }
}
