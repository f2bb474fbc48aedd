//! tools/testkit
