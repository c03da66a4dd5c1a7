//! The pure half of mhnat: what a configuration means, and which kernel state follows from it.
//!
//! Data flows one way. [`config::read`] turns the bytes of a file into a [`model::Model`] or into every
//! complaint about it. [`resolve::resolve`] fills in what DHCP and the like have told the kernel.
//! [`desired::desired`] turns the model, the numbers given to its uplinks ([`slot::Slots`]) and what is known
//! of the links ([`link::Availability`]) into a [`desired::Desired`]: a ruleset, devices, policy rules,
//! routes and sysctl demands. [`converge`] orders the steps that lead from what the kernel holds to that, and [`render`]
//! prints it for a person.
//!
//! Nothing here opens a socket or a file, reads a clock or the environment, or starts a thread: the crate
//! `mhnat` does that, and decides nothing.

#![forbid(unsafe_code)]

pub mod audit;
pub mod changes;
pub mod chronicle;
pub mod config;
pub mod conntrackd;
pub mod converge;
pub mod desired;
pub mod device;
pub mod diagnostic;
pub mod event;
pub mod explain;
pub mod family;
pub mod health;
pub mod host;
pub mod link;
pub mod mark;
pub mod model;
pub mod mtu;
pub mod name;
pub mod nft;
pub mod probe;
pub mod rehome;
pub mod render;
pub mod resolve;
pub mod routing;
pub mod slot;
pub mod stamp;
pub mod sysctl;
