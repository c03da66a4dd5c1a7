//! What this machine offers. Everything here is asked only when somebody needs the answer.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use harness_model::{event::Machine, scenario::Requirement};
use nix::{
    sched::{CpuSet, sched_getaffinity},
    unistd::Pid,
};

mod programs;

pub use programs::{NotAProgram, tools};

/// The environment variable that names the program mhnat.
pub const MHNAT_VARIABLE: &str = "MHLAB_MHNAT";

/// Which requirements of scenarios this machine meets. Each is looked at once, when it is first asked for.
#[derive(Debug, Default)]
pub struct Offer {
    mhnat: Option<PathBuf>,
    answers: BTreeMap<Requirement, Option<String>>,
}

impl Offer {
    /// Of this machine. `mhnat` is the program that the user named; without one it is looked for beside this
    /// program, one directory up (where cargo puts it, seen from a test), and on the PATH.
    ///
    /// # Errors
    /// If what the user named is no program.
    pub fn new(mhnat: Option<&Path>) -> Result<Self, NotAProgram> {
        let mhnat = mhnat.map(programs::given).transpose()?;
        Ok(Offer { mhnat, answers: BTreeMap::new() })
    }

    /// The first thing that is missing, with a remedy.
    pub fn missing(&mut self, requirements: &BTreeSet<Requirement>) -> Option<String> {
        requirements.iter().find_map(|requirement| self.reason(*requirement))
    }

    /// The program mhnat, absolute.
    pub fn mhnat(&mut self) -> Option<PathBuf> {
        if self.mhnat.is_none() {
            self.mhnat = programs::beside_us("mhnat").or_else(|| programs::find("mhnat"));
        }
        self.mhnat.clone()
    }

    fn reason(&mut self, requirement: Requirement) -> Option<String> {
        if let Some(known) = self.answers.get(&requirement) {
            return known.clone();
        }
        let absent = |programs: &[&str], remedy: &str| {
            let name = programs.iter().find(|name| programs::find(name).is_none())?;
            Some(format!("the program {name} was not found (hint: {remedy})"))
        };
        let reason = match requirement {
            Requirement::Nft => absent(&["nft"], "apt install nftables"),
            Requirement::Iptables => {
                absent(&["iptables-restore", "ip6tables-restore"], "apt install iptables")
            }
            Requirement::Ip => absent(&["ip"], "apt install iproute2"),
            Requirement::Conntrack => absent(&["conntrack"], "apt install conntrack"),
            Requirement::Conntrackd => absent(&["conntrackd"], "apt install conntrackd"),
            Requirement::Tun => programs::tun(),
            Requirement::Mhnat => self.mhnat().is_none().then(|| {
                format!(
                    "the program mhnat was not found (hint: `cargo build`, or name it with --mhnat or \
                     {MHNAT_VARIABLE})"
                )
            }),
        };
        self.answers.insert(requirement, reason.clone());
        reason
    }
}

/// The facts that cost nothing; the versions of tools are in [`tools`].
pub fn facts() -> Machine {
    let kernel = nix::sys::utsname::uname().map_or_else(
        |_| String::new(),
        |name| format!("{} {}", name.release().display(), name.machine().display()),
    );
    Machine {
        mhlab: env!("CARGO_PKG_VERSION").to_owned(),
        kernel,
        privilege: if is_admin() { "root" } else { "user namespace" }.to_owned(),
        processors: processors().len(),
        tools: BTreeMap::new(),
    }
}

/// The processors that this process may use.
pub fn processors() -> Vec<usize> {
    let allowed = sched_getaffinity(Pid::from_raw(0)).ok();
    let numbers: Vec<usize> = allowed
        .iter()
        .flat_map(|set| (0..CpuSet::count()).filter(|number| set.is_set(*number).unwrap_or(false)))
        .collect();
    if numbers.is_empty() { vec![0] } else { numbers }
}

/// Whether this process may make namespaces without a user namespace around them (CAP_SYS_ADMIN).
pub fn is_admin() -> bool {
    const SYS_ADMIN: u64 = 1 << 21;
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    effective
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .is_some_and(|mask| mask & SYS_ADMIN != 0)
}

/// Why no lab can be made here, if that is so. Tries it, which takes milliseconds.
pub fn sandbox_problem() -> Option<String> {
    let error = harness_lab::sandbox::probe().err()?;
    Some(format!("no lab can be made on this machine: {error}"))
}
