//! Programs: where they are, and which version.

use std::{
    collections::BTreeMap,
    env, fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use tokio::{process::Command, time::timeout};

/// Where administrators' programs are, also when the PATH of an ordinary user does not say so.
const ALSO: [&str; 3] = ["/usr/sbin", "/sbin", "/usr/local/sbin"];
/// How long a tool may take to tell its version.
const PATIENCE: Duration = Duration::from_secs(2);

/// What was named is no program.
#[derive(Debug, thiserror::Error)]
#[error("{} is no program: {why} (hint: {hint})", path.display())]
pub struct NotAProgram {
    path: PathBuf,
    why: &'static str,
    hint: &'static str,
}

/// A program that the user named, absolute.
pub(super) fn given(path: &Path) -> Result<PathBuf, NotAProgram> {
    let problem = |why, hint| NotAProgram { path: path.to_owned(), why, hint };
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => Err(problem("it is a directory", "name the program in it")),
        Ok(_) if executable(path) => std::path::absolute(path)
            .map_err(|_| problem("its directory is gone", "name it by its whole path")),
        Ok(_) => Err(problem("it may not be executed", "see its permissions")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(problem("it does not exist", "`cargo build` puts mhnat below target"))
        }
        Err(_) => Err(problem("it cannot be looked at", "see the permissions of its directories")),
    }
}

/// A program of the PATH, or of the directories of administrators' programs.
pub(super) fn find(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(ALSO.map(PathBuf::from))
        .filter(|directory| directory.is_absolute())
        .map(|directory| directory.join(name))
        .find(|candidate| executable(candidate))
}

/// A program in this program's directory, or in the one above.
pub(super) fn beside_us(name: &str) -> Option<PathBuf> {
    let us = env::current_exe().ok()?;
    us.ancestors()
        .skip(1)
        .take(2)
        .map(|directory| directory.join(name))
        .find(|candidate| executable(candidate))
}

fn executable(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

/// Why devices for user-space packets cannot be made, if that is so.
pub(super) fn tun() -> Option<String> {
    const DEVICE: &str = "/dev/net/tun";
    let error = fs::OpenOptions::new().read(true).write(true).open(DEVICE).err()?;
    Some(match error.kind() {
        io::ErrorKind::NotFound => format!("{DEVICE} does not exist (hint: `modprobe tun` as root)"),
        io::ErrorKind::PermissionDenied => {
            format!("{DEVICE} may not be opened (hint: `chmod 0666 {DEVICE}` as root)")
        }
        _ => format!("{DEVICE} cannot be opened: {error}"),
    })
}

/// Versions of the tools that scenarios use, all asked at the same time; absent tools are absent.
pub async fn tools(mhnat: Option<PathBuf>) -> BTreeMap<String, String> {
    let asked = [
        ("nft", find("nft"), "--version"),
        ("iptables", find("iptables"), "--version"),
        ("iproute2", find("ip"), "-V"),
        ("conntrack", find("conntrack"), "--version"),
        ("mhnat", mhnat, "--version"),
    ];
    let mut answers = tokio::task::JoinSet::new();
    for (name, program, flag) in asked {
        let Some(program) = program else { continue };
        answers.spawn(async move { (name, version(&program, flag).await) });
    }
    let mut versions = BTreeMap::new();
    while let Some(answer) = answers.join_next().await {
        if let Ok((name, Some(version))) = answer {
            versions.insert(name.to_owned(), version);
        }
    }
    versions
}

async fn version(program: &Path, flag: &str) -> Option<String> {
    let mut command = Command::new(program);
    command.arg(flag).stdin(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let output = timeout(PATIENCE, command.output()).await.ok()?.ok()?;
    version_in(&String::from_utf8_lossy(&output.stdout))
}

/// The version in what a tool says of itself, with the flavour where it matters: `1.8.9 (nf_tables)`.
fn version_in(text: &str) -> Option<String> {
    let words: Vec<&str> = text.lines().next()?.split([' ', ',']).filter(|word| !word.is_empty()).collect();
    let number = |word: &str| {
        let bare = word.trim_start_matches("iproute2-").trim_start_matches('v');
        let version = bare.starts_with(|first: char| first.is_ascii_digit()) && bare.contains('.');
        version.then(|| bare.to_owned())
    };
    let (at, version) = words.iter().enumerate().find_map(|(at, word)| Some((at, number(word)?)))?;
    let flavour = words.get(at + 1).filter(|word| matches!(**word, "(nf_tables)" | "(legacy)"));
    Some(flavour.map_or_else(|| version.clone(), |flavour| format!("{version} {flavour}")))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::version_in;

    #[rstest]
    #[case("nftables v1.1.3 (Commodore Bullmoose #4)\n", Some("1.1.3"))]
    #[case("iptables v1.8.11 (nf_tables)\n", Some("1.8.11 (nf_tables)"))]
    #[case("ip utility, iproute2-6.15.0, libbpf 1.5.0\n", Some("6.15.0"))]
    #[case("conntrack v1.4.8 (conntrack-tools)\n", Some("1.4.8"))]
    #[case("mhnat 0.1.0\n", Some("0.1.0"))]
    #[case("usage: something\n", None)]
    #[case("", None)]
    fn versions_are_found(#[case] said: &str, #[case] expected: Option<&str>) {
        assert_eq!(version_in(said).as_deref(), expected);
    }
}
