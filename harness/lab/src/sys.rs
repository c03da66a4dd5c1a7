//! System calls that neither the standard library nor nix covers, each behind a safe function.
//!
//! The rule for this module: a function takes references and owned descriptors, returns owned values, and its
//! caller cannot break it. Nothing here decides anything.

pub(crate) mod mount;
pub(crate) mod packet;
pub(crate) mod process;
pub(crate) mod receive;
pub(crate) mod tun;
