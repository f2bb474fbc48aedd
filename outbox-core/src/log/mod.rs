//! The log state machine: what may be handed out, and what is settled.
