//! The door of a process: while it is shut nothing inside moves, and from some step on nothing ever will.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

#[derive(Debug, Clone, Default)]
pub(crate) struct Door(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    shut: bool,
    /// Steps that are left.
    steps: Option<u32>,
    waker: Option<Waker>,
}

impl Door {
    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut state);
        if let Some(waker) = state.waker.take() {
            waker.wake();
        }
    }

    /// The process freezes, or goes on.
    pub(crate) fn shut(&self, shut: bool) {
        self.change(|s| s.shut = shut);
    }

    /// The process vanishes after so many more steps.
    pub(crate) fn kill(&self, steps: u32) {
        self.change(|s| (s.shut, s.steps) = (false, Some(steps)));
    }

    /// Whether one more step may be taken.
    fn step(&self, waker: &Waker) -> Step {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.waker = Some(waker.clone());
        match &mut state.steps {
            Some(0) => return Step::End,
            Some(steps) => *steps -= 1,
            None => {}
        }
        if state.shut { Step::Wait } else { Step::Go }
    }
}

enum Step {
    Go,
    Wait,
    End,
}

type Inside<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Runs a process behind its door. `None`: it vanished.
pub(crate) struct Gate<T> {
    pub(crate) door: Door,
    pub(crate) inside: Option<Inside<T>>,
    /// Called before what is inside is dropped.
    pub(crate) on_end: Box<dyn Fn() + Send>,
}

impl<T> Future for Gate<T> {
    type Output = Option<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        match self.door.step(cx.waker()) {
            Step::Wait => return Poll::Pending,
            Step::Go => {}
            Step::End => {
                (self.on_end)();
                self.inside = None;
                return Poll::Ready(None);
            }
        }
        let Some(inside) = &mut self.inside else { return Poll::Ready(None) };
        inside.as_mut().poll(cx).map(Some)
    }
}
