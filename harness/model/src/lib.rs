//! The pure half of the laboratory: what a scenario says, which lab it needs, what packets tell, and the verdict.
//!
//! Nothing in this crate opens a socket or a file, reads a clock or the environment, or starts a thread: bytes,
//! texts and time stamps come in as arguments. Data flows one way:
//!
//! ```text
//! scenario text -> scenario::Scenario -> topology::Topology -> plan::LabPlan      (before the run)
//! frames -> packet::Packet -> observation::Record -> journey::Journey -> verdict  (during the run)
//! everything that happened -> event::Event                                        (what reports consume)
//! ```
#![forbid(unsafe_code)]

pub mod diagnostic;
pub mod event;
pub mod filter;
pub mod journey;
pub mod observation;
pub mod packet;
pub mod plan;
pub mod preset;
pub mod relay;
pub mod scenario;
pub mod shrink;
pub mod stream;
pub mod topology;
pub mod verdict;
