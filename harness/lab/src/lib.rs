//! The kernel's side of the laboratory: it executes plans and hands back observations.
//!
//! | module | what it is a model of |
//! | --- | --- |
//! | [`sandbox`] | a process that may do as it likes, and of which nothing is left when it dies |
//! | [`lab`] | a plan's namespaces, devices, addresses and routes, as they are in the kernel |
//! | [`capture`] | every frame at every device, with the kernel's time stamp |
//! | [`relay`] | frames on their way through a link with faults |
//! | [`inject`] | hand-made frames on their way out of a device |
//! | [`conntrack`] | a node's connection tracking table |
//!
//! A run goes downward: [`sandbox::enter`] while the process has one thread, [`lab::Lab::build`],
//! [`capture::Capture::open`] before any traffic, then injections, changes and fences, and [`close`] at the end.
//! There is no code that cleans up: all that is made here belongs to the sandbox's process, and goes with it.
//!
//! All unsafe code of the laboratory is in the private module `sys`.
#![deny(unsafe_code)]

pub mod capture;
mod close;
pub mod conntrack;
pub mod inject;
pub mod lab;
mod netlink;
pub mod process;
pub mod relay;
pub mod sandbox;
#[expect(
    unsafe_code,
    reason = "system calls that no safe wrapper covers; nothing else in this crate may be unsafe"
)]
mod sys;

pub use close::close;
