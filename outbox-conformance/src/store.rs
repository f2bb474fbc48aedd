//! The suite for implementations of [`Store`](outbox_core::Store).
