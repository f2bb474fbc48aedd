use crate::{Batch, Outcomes};

/// Some messages of a batch as a batch of their own. What is said of them is passed on when it is dropped, however its
/// publish ended.
#[derive(Debug)]
pub(super) struct Part {
    of: Vec<usize>,
    batch: Batch,
    said: Outcomes,
    out: Outcomes,
}

impl Part {
    /// The messages at the places `of`, in this order.
    pub(super) fn new(whole: &Batch, of: Vec<usize>, out: &Outcomes) -> Self {
        let batch = Batch::from_slots(of.iter().map(|i| whole.slot(*i)).collect());
        Self { said: Outcomes::new(of.len()), of, batch, out: out.clone() }
    }

    pub(super) fn batch(&self) -> Batch {
        self.batch.clone()
    }

    pub(super) fn said(&self) -> &Outcomes {
        &self.said
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.said.close();
        for (n, (i, outcome)) in self.of.iter().zip(self.said.all()).enumerate() {
            if !self.said.is_unsaid(n) {
                self.out.copy(*i, outcome);
            }
        }
    }
}
