//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;

use crate::command::Format;
use crate::engine::SUBCOMMAND;
use crate::nft::Choice;
use crate::serve::Address;

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  the operation failed; after apply, the host is as it was before unless the message says otherwise;
     after down, what could be taken back is, and down can be run again
  2  the input was wrong; nothing was touched
  3  this machine cannot do it: no privileges, no nft, a kernel feature is missing
  4  plan --diff: something would change; status: the kernel is not as it was applied";

const EXAMPLES: &str = "\
Examples:
  mhnat check /etc/mhnat.toml              is the file right?
  mhnat plan /etc/mhnat.toml               what would be in the kernel?
  mhnat plan --nft-only gw.toml | less     only the nft ruleset
  sudo mhnat plan --diff /etc/mhnat.toml   what would an apply change?
  sudo mhnat apply /etc/mhnat.toml         make it so; again after every change of file or links
  sudo mhnat apply --confirm 30s x.toml    the same, and back after 30 s, unless I can still reach you and say
  sudo mhnat confirm                       that I want to keep it
  sudo mhnat run /etc/mhnat.toml           make it so, and keep it so while links come and go
  sudo mhnat status                        which uplinks are usable? does the kernel still hold what was applied?
  mhnat explain gw.toml --in lan0 --from 10.0.0.2:5000 --to 192.0.2.80:443/tcp
                                           where would this go, and why?
  sudo mhnat audit /etc/mhnat.toml         what on this host will bite?
  sudo mhnat down                          take everything back";

const AUDIT_EXAMPLES: &str = "\
Examples:
  sudo mhnat audit /etc/mhnat.toml
  sudo mhnat audit --json /etc/mhnat.toml | jq '.findings[] | select(.severity == \"error\")'
  mhnat audit                              as far as this user may look";

const EXPLAIN_EXAMPLES: &str = "\
Examples:
  mhnat explain gw.toml --in lan0 --from 10.0.0.2:5000 --to 192.0.2.80:443/tcp
  mhnat explain gw.toml --to 192.0.2.80:53/udp                   sent by this host
  mhnat explain gw.toml --in lan0 --from 10.0.0.7:22 --to 192.0.2.80:5000/tcp --established-mark 0x200 --answer
  sudo mhnat explain gw.toml --live --in lan0 --from 10.0.0.2:5000 --to 192.0.2.80:443/tcp";

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
    /// Print what would be in the kernel. Without --diff, this needs no privileges and does not look at the
    /// kernel: all links count as usable.
    Plan {
        /// The configuration file.
        config: PathBuf,
        /// Print what an apply would change on this host as it is now. Exits 0 when nothing, 4 when something.
        #[arg(long, conflicts_with = "nft_only")]
        diff: bool,
        /// Print the nft ruleset only.
        #[arg(long, conflicts_with = "json")]
        nft_only: bool,
        /// Print JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        state: StateDir,
        #[command(flatten)]
        nft: Nft,
    },
    /// Bring the kernel to what the configuration says: all of it, or nothing when a step fails.
    Apply {
        /// The configuration file.
        config: PathBuf,
        /// Take the change back after this time, such as 30s or 5m, unless `mhnat confirm` comes before. It is
        /// taken back even when this terminal is gone.
        #[arg(long, value_name = "TIME", value_parser = time)]
        confirm: Option<Duration>,
        #[command(flatten)]
        state: StateDir,
        #[command(flatten)]
        nft: Nft,
    },
    /// Apply, and stay: whenever links, addresses, routes, rules or tables change, make it right again, and let the
    /// connections of a lost uplink begin anew by another. SIGHUP reads the file again; SIGTERM ends it and leaves
    /// everything in place.
    Run {
        /// The configuration file.
        config: PathBuf,
        /// Take everything back at the end, as `mhnat down` does.
        #[arg(long)]
        down_on_exit: bool,
        /// Where Prometheus finds metrics, under /metrics: `unix:PATH`, or a loopback address with port such as
        /// 127.0.0.1:9469. May be given more than once.
        #[arg(long, value_name = "ADDRESS")]
        metrics: Vec<Address>,
        /// How it is told what happens.
        #[arg(long, value_enum, default_value_t = Format::Text, value_name = "FORMAT")]
        log: Format,
        #[command(flatten)]
        state: StateDir,
        #[command(flatten)]
        nft: Nft,
    },
    /// Have `mhnat run` look at the kernel now. It does so by itself whenever the kernel tells of a change; this is for
    /// hooks of programs that know of one. Where it does not run, nothing happens.
    Look {
        #[command(flatten)]
        state: StateDir,
    },
    /// Keep a change that was applied with --confirm.
    Confirm {
        #[command(flatten)]
        state: StateDir,
    },
    /// Take back a change that was applied with --confirm, without waiting for its time to run out.
    Rollback {
        #[command(flatten)]
        state: StateDir,
        #[command(flatten)]
        nft: Nft,
    },
    /// Wait for the confirmation of a change: what `apply --confirm` leaves behind.
    #[command(name = SUBCOMMAND, hide = true)]
    AwaitConfirmation {
        #[command(flatten)]
        state: StateDir,
        #[command(flatten)]
        nft: Nft,
    },
    /// Say which uplinks are usable, what passes them, and whether the kernel still holds what was applied.
    /// Exits 4 when it does not.
    Status {
        /// Print JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        state: StateDir,
    },
    /// Take everything back: nft, rules, routes and sysctls are as they were before the first apply.
    Down {
        #[command(flatten)]
        state: StateDir,
        #[command(flatten)]
        nft: Nft,
    },
    /// Say what becomes of a packet and why: uplink, addresses, marks, and each rule that decided. Computed from
    /// what would be in the kernel; --live asks the kernel as well, and exits 1 where it is of another mind.
    #[command(after_help = EXPLAIN_EXAMPLES)]
    Explain(Explain),
    /// Say what on this host will bite: settings, other programs' marks, rules and translations. Changes nothing.
    /// Exits 1 when there is an error or a warning, 0 when there is nothing worse than notes.
    #[command(after_help = AUDIT_EXAMPLES)]
    Audit {
        /// The configuration file; without one, only what does not depend on uplinks is looked at.
        config: Option<PathBuf>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
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
pub(crate) struct Explain {
    /// The configuration file.
    pub(crate) config: PathBuf,
    /// The interface that the packet comes in by. Without it, this host itself sends the packet.
    #[arg(long = "in", value_name = "INTERFACE", requires = "from")]
    pub(crate) entry: Option<String>,
    /// The sender. This host itself may leave it to the kernel.
    #[arg(long, value_name = "ADDRESS[:PORT]")]
    pub(crate) from: Option<String>,
    /// The receiver, and tcp, udp or icmp.
    #[arg(long, value_name = "ADDRESS[:PORT]/PROTOCOL")]
    pub(crate) to: String,
    /// Explain the first packet of a connection, even where --live finds one. The default without --live.
    #[arg(long, conflicts_with = "established_mark")]
    pub(crate) new: bool,
    /// Explain a packet of a connection that has this mark already.
    #[arg(long, value_name = "MARK")]
    pub(crate) established_mark: Option<String>,
    /// The packet goes to the side that began the connection.
    #[arg(long, requires = "established_mark")]
    pub(crate) answer: bool,
    /// A route of table main, which the configuration does not know. Can be given more than once.
    #[arg(long, value_name = "PREFIX=INTERFACE", conflicts_with = "live")]
    pub(crate) route: Vec<String>,
    /// Take addresses, links and the routes of others from the kernel, and compare with what it decides and
    /// with the connection that it tracks.
    #[arg(long)]
    pub(crate) live: bool,
    /// Print what was asked and did not apply, too.
    #[arg(long, conflicts_with = "json")]
    pub(crate) all: bool,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) state: StateDir,
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

/// A time such as `30s`, `5m` or `1h`: long enough to say yes, and no longer than a day.
fn time(text: &str) -> Result<Duration, String> {
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let number: u64 = number.parse().map_err(|_| "expected a time such as 30s or 5m".to_owned())?;
    let seconds = match unit {
        "s" => Some(number),
        "m" => number.checked_mul(60),
        "h" => number.checked_mul(3600),
        _ => return Err("expected a time such as 30s or 5m".to_owned()),
    };
    match seconds {
        Some(seconds @ 1..=86_400) => Ok(Duration::from_secs(seconds)),
        _ => Err("expected a time from 1s to 24h".to_owned()),
    }
}
