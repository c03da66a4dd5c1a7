//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;

use crate::nft::Choice;

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  the operation failed; after apply, the host is as it was before unless the message says otherwise;
     after down, what could be taken back is, and down can be run again
  2  the input was wrong; nothing was touched
  3  this machine cannot do it: no privileges, no nft, a kernel feature is missing";

const EXAMPLES: &str = "\
Examples:
  mhnat check /etc/mhnat.toml              is the file right?
  mhnat plan /etc/mhnat.toml               what would be in the kernel?
  mhnat plan --nft-only gw.toml | less     only the nft ruleset
  sudo mhnat apply /etc/mhnat.toml         make it so; again after every change of file or links
  sudo mhnat down                          take everything back";

/// Multi-homed NAT: one declarative file becomes nftables rules, policy routing and sysctls.
#[derive(Debug, Parser)]
#[command(name = "mhnat", version, after_help = format!("{EXAMPLES}\n\n{EXIT_CODES}"))]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Say whether a configuration is right, and everything that is wrong with it.
    Check {
        /// The configuration file.
        config: PathBuf,
    },
    /// Print what would be in the kernel. Needs no privileges and does not look at the kernel: all links
    /// count as usable.
    Plan {
        /// The configuration file.
        config: PathBuf,
        /// Print the nft ruleset only.
        #[arg(long, conflicts_with = "json")]
        nft_only: bool,
        /// Print JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        state: StateDir,
    },
    /// Bring the kernel to what the configuration says: all of it, or nothing when a step fails.
    Apply {
        /// The configuration file.
        config: PathBuf,
        #[command(flatten)]
        state: StateDir,
        #[command(flatten)]
        nft: Nft,
    },
    /// Take everything back: nft, rules, routes and sysctls are as they were before the first apply.
    Down {
        #[command(flatten)]
        state: StateDir,
        #[command(flatten)]
        nft: Nft,
    },
    /// Print a completion script for a shell.
    Completions {
        /// The shell.
        shell: Shell,
    },
    /// Write manual pages into a directory.
    Man {
        /// The directory.
        directory: PathBuf,
    },
}

#[derive(Debug, Args)]
pub(crate) struct StateDir {
    /// Where the state from before the first apply is kept. One for each network namespace.
    #[arg(long, value_name = "DIR", env = "MHNAT_STATE_DIR", default_value = "/run/mhnat")]
    pub(crate) state_dir: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Nft {
    /// The nft program, or `lib` for libnftables in this process. Without it, the first program in PATH,
    /// /usr/sbin and /sbin.
    #[arg(long, value_name = "PATH|lib", env = "MHNAT_NFT")]
    pub(crate) nft: Option<Choice>,
}
