//! The laboratory's runner: finds scenarios, runs each test in a process of its own, and hands every event to the
//! reports.

pub mod cli;
pub mod discover;
pub mod job;
pub mod lifeline;
pub mod machine;
pub mod pool;
pub mod worker;
