//! The suite for implementations of [`Transport`](outbox_core::Transport).
