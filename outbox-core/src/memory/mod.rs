//! A store and a transport in memory, for tests.
