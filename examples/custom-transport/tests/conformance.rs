//! The suite.
mod harness;

outbox_conformance::transport_suite!(harness::WebhookHarness);
