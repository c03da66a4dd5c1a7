//! What a person can do about a sandbox that cannot be made.

use std::fs;

use nix::errno::Errno;

use super::error::Step;

/// Settings that forbid user namespaces: where, which value does, and the remedy.
const SETTINGS: [(&str, &str, &str); 3] = [
    (
        "/proc/sys/user/max_user_namespaces",
        "0",
        "user namespaces are switched off; sysctl user.max_user_namespaces=10000 switches them on",
    ),
    (
        "/proc/sys/kernel/unprivileged_userns_clone",
        "0",
        "only root may make user namespaces here; sysctl kernel.unprivileged_userns_clone=1 changes that",
    ),
    (
        "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
        "1",
        "AppArmor restricts user namespaces here; sysctl kernel.apparmor_restrict_unprivileged_userns=0 changes that",
    ),
];

/// " (hint: ...)", or nothing.
pub(super) fn hint(step: Step, errno: Errno) -> String {
    remedy(step, errno, |path| fs::read_to_string(path).ok())
        .map_or_else(String::new, |text| format!(" (hint: {text})"))
}

fn remedy(step: Step, errno: Errno, read: impl Fn(&str) -> Option<String>) -> Option<String> {
    let setting = || {
        SETTINGS.iter().find_map(|(path, forbidden, remedy)| {
            (read(path)?.trim() == *forbidden).then(|| (*remedy).to_owned())
        })
    };
    let confined = || {
        let status = read("/proc/self/status")?;
        let mode = status.lines().find_map(|line| line.strip_prefix("Seccomp:"))?;
        (mode.trim() != "0").then(|| {
            "a seccomp filter is active, as in an unprivileged container; start the container with --privileged"
                .to_owned()
        })
    };
    let text = match (step, errno) {
        (Step::Namespaces, Errno::EPERM) => {
            confined().unwrap_or_else(|| "root lacks CAP_SYS_ADMIN here".to_owned())
        }
        (Step::UserNamespace | Step::Identity, Errno::EPERM | Errno::EACCES) => setting().or_else(confined)
            .unwrap_or_else(|| "user namespaces are forbidden here, as they are after chroot(2)".to_owned()),
        (Step::Namespaces | Step::UserNamespace, Errno::ENOSPC | Errno::EUSERS) => setting().unwrap_or_else(|| {
            "a limit below /proc/sys/user is reached: are many sandboxes still running?".to_owned()
        }),
        (Step::Namespaces | Step::UserNamespace, Errno::EINVAL | Errno::ENOSYS) => {
            let missing = ["user", "net", "pid", "mnt", "ipc", "uts"]
                .into_iter()
                .find(|kind| read(&format!("/proc/self/ns/{kind}")).is_none() && !namespace_exists(kind))?;
            format!("this kernel is built without {missing} namespaces")
        }
        (Step::PrivateMounts | Step::ReadOnly | Step::Run, Errno::EPERM | Errno::EACCES) => {
            setting().or_else(confined).unwrap_or_else(|| "a security module forbids mounts here".to_owned())
        }
        (Step::Proc, Errno::EPERM) => {
            "parts of /proc are covered by other mounts, as in a container; start the container with --privileged"
                .to_owned()
        }
        (Step::Watch, Errno::ENOSYS) => "Linux 5.3 or later is needed".to_owned(),
        _ => return None,
    };
    Some(text)
}

fn namespace_exists(kind: &str) -> bool {
    fs::symlink_metadata(format!("/proc/self/ns/{kind}")).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remedy_with(step: Step, errno: Errno, files: &[(&str, &str)]) -> String {
        let read = |path: &str| {
            files.iter().find(|(known, _)| *known == path).map(|(_, content)| (*content).to_owned())
        };
        remedy(step, errno, read).unwrap_or_default()
    }

    #[test]
    fn a_limit_of_zero_is_named() {
        let files = [("/proc/sys/user/max_user_namespaces", "0\n")];
        assert!(remedy_with(Step::UserNamespace, Errno::ENOSPC, &files).contains("max_user_namespaces"));
    }

    #[test]
    fn apparmor_is_named() {
        let files = [
            ("/proc/sys/user/max_user_namespaces", "9000\n"),
            ("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1\n"),
        ];
        assert!(remedy_with(Step::Identity, Errno::EPERM, &files).contains("AppArmor"));
    }

    #[test]
    fn a_seccomp_filter_is_named() {
        let files = [("/proc/self/status", "Name:\tx\nSeccomp:\t2\nSeccomp_filters:\t1\n")];
        assert!(remedy_with(Step::UserNamespace, Errno::EPERM, &files).contains("seccomp"));
        assert!(remedy_with(Step::Namespaces, Errno::EPERM, &files).contains("--privileged"));
    }
}
