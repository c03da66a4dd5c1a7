//! The program `mhnat`. Everything is in the library, so that its parts can be tested.

#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    mhnat::run()
}
