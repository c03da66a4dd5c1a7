//! mhlab: a laboratory in network namespaces for Linux gateways with several ways out.

use std::process::ExitCode;

fn main() -> ExitCode {
    harness::worker::main_if_worker();
    harness::cli::main()
}
