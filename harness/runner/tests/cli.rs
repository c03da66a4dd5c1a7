//! What mhlab says to wrong input, as an ordinary user would meet it, and that nothing is built meanwhile.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use rstest::rstest;

/// A directory that goes away with the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
        fs::create_dir_all(&path).expect("a scratch directory");
        Scratch(path)
    }

    fn file(&self, name: &str, text: impl AsRef<[u8]>) -> &Self {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().expect("a directory")).expect("a directory");
        fs::write(path, text).expect("a file");
        self
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn mhlab(directory: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_mhlab"))
        .args(arguments)
        .current_dir(directory)
        .env_remove("CLICOLOR_FORCE")
        .env_remove("MHLAB_MHNAT")
        .stdin(Stdio::null())
        .output()
        .expect("mhlab starts")
}

/// A scenario that needs nothing of the machine.
const SCENARIO: &str = r#"
title = "A request through a gateway that does nothing is not answered"
tags = ["plain"]

[lan.home]
prefix = "10.0.0.0/24"

[isp.one]
prefix = "100.64.1.0/24"
filter = "source"

[gateway.router]
lan = { eth0 = "home" }
uplink = { wan0 = "one" }

[host.laptop]
on = "home"

[host.server]
on = "internet"
address = "192.0.2.80"
serve = ["udp/7000 echo"]

[subject]
on = "router"
variant.nothing.breaks = ["asked"]

[[step]]
name = "asked"
request = { from = "laptop", to = "server:7000", protocol = "udp" }
expect = { answered = true }
"#;

fn told(output: &Output) -> String {
    assert!(output.stdout.is_empty(), "{}", String::from_utf8_lossy(&output.stdout));
    format!("{}\nexit status {}", String::from_utf8_lossy(&output.stderr), output.status.code().unwrap_or(-1))
}

#[rstest]
#[case("no-command", &[])]
#[case("unknown-flag", &["run", "--job", "2", "one.toml"])]
#[case("unknown-command", &["rnu", "one.toml"])]
#[case("no-path", &["run"])]
#[case("missing-path", &["run", "one.tml"])]
#[case("empty-directory", &["run", "empty"])]
#[case("fifo", &["run", "pipe"])]
#[case("config", &["run", "nat.mhnat.toml"])]
#[case("not-utf-8", &["check", "latin.toml"])]
#[case("huge", &["check", "huge.toml"])]
#[case("several", &["check", "one.tml", "empty", "latin.toml"])]
#[case("missing-config", &["run", "no-config.toml"])]
#[case("bad-filter", &["run", "--filter", "tags(nat)", "one.toml"])]
#[case("filter-matches-nothing", &["run", "--filter", "tag(nat)", "one.toml"])]
#[case("no-jobs", &["run", "--jobs", "0", "one.toml"])]
#[case("bad-jobs", &["run", "--jobs", "many", "one.toml"])]
#[case("bad-timeout", &["run", "--timeout", "60", "one.toml"])]
#[case("report-without-file", &["run", "--report", "junit", "one.toml"])]
#[case("report-of-unknown-format", &["run", "--report", "jnuit=a.xml", "one.toml"])]
#[case("report-in-missing-directory", &["run", "--report", "tap=gone/run.tap", "one.toml"])]
#[case("report-to-a-directory", &["run", "--report", "tap=empty", "one.toml"])]
#[case("two-reports-to-one-file", &["run", "--report", "tap=-", "--report", "json=-", "one.toml"])]
#[case("missing-mhnat", &["run", "--mhnat", "gone/mhnat", "one.toml"])]
#[case("mhnat-is-no-program", &["run", "--mhnat", "one.toml", "one.toml"])]
#[case("man-without-directory", &["man", "gone"])]
#[case("plan-of-a-directory", &["plan", "two"])]
fn wrong_input(#[case] name: &str, #[case] arguments: &[&str]) {
    let scratch = Scratch::new(name);
    scratch
        .file("one.toml", SCENARIO)
        .file("nat.mhnat.toml", "")
        .file("latin.toml", b"title = \"t\"\nabout = \"caf\xe9\"\n")
        .file("huge.toml", vec![b'#'; (1 << 20) + 1])
        .file(
            "no-config.toml",
            SCENARIO.replace(
                "variant.nothing.breaks = [\"asked\"]",
                "variant.mhnat.mhnat = \"nta.mhnat.toml\"\nvariant.nothing.breaks = [\"asked\"]",
            ),
        )
        .file("two/a.toml", SCENARIO)
        .file("two/b.toml", SCENARIO);
    fs::create_dir(scratch.0.join("empty")).expect("a directory");
    let pipe = scratch.0.join("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRUSR).expect("a fifo");
    insta::assert_snapshot!(name, told(&mhlab(&scratch.0, arguments)));
}

fn printed(output: Output) -> String {
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), complaints.as_ref()), (Some(0), ""));
    String::from_utf8(output.stdout).expect("UTF-8")
}

#[test]
fn tests_are_listed_with_their_controls() {
    let scratch = Scratch::new("list");
    scratch.file("a/one.toml", SCENARIO).file("a/b/two.toml", SCENARIO).file("a/.hidden.toml", "broken");
    insta::assert_snapshot!("list", printed(mhlab(&scratch.0, &["list", "a"])));
    let json = printed(mhlab(&scratch.0, &["list", "--json", "--filter", "scenario(b/*)", "a"]));
    insta::assert_snapshot!("list-json", json);
}

#[test]
fn scenarios_of_one_name_are_told_apart_by_their_whole_path() {
    let scratch = Scratch::new("names");
    scratch.file("a/one.toml", SCENARIO).file("b/one.toml", SCENARIO);
    let text = printed(mhlab(&scratch.0, &["list", "a", "b/one.toml", "a/one.toml"]));
    let names: Vec<&str> = text.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(names, ["a/one::nothing", "b/one::nothing"]);
}

#[test]
fn a_link_to_a_parent_directory_does_not_lead_in_circles() {
    let scratch = Scratch::new("circle");
    scratch.file("a/one.toml", SCENARIO);
    std::os::unix::fs::symlink("..", scratch.0.join("a/up")).expect("a link");
    assert_eq!(printed(mhlab(&scratch.0, &["list", "a"])).lines().count(), 1);
}

#[test]
fn a_plan_is_shown() {
    let scratch = Scratch::new("plan");
    scratch.file("one.toml", SCENARIO);
    insta::assert_snapshot!("plan", printed(mhlab(&scratch.0, &["plan", "one.toml"])));
    let json = printed(mhlab(&scratch.0, &["plan", "--json", "one.toml"]));
    serde_json::from_str::<serde_json::Value>(&json).expect("JSON");
}

#[test]
fn what_is_fine_is_said_to_be_fine() {
    let scratch = Scratch::new("check");
    scratch.file("one.toml", SCENARIO);
    assert_eq!(printed(mhlab(&scratch.0, &["check", "one.toml"])), "1 scenario with 1 test: no finding\n");
}

#[rstest]
#[case(&["schema"])]
#[case(&["schema", "report"])]
fn schemas_are_json(#[case] arguments: &[&str]) {
    let text = printed(mhlab(Path::new("."), arguments));
    serde_json::from_str::<serde_json::Value>(&text).expect("JSON");
}

#[test]
fn manual_pages_and_completions_are_made() {
    let scratch = Scratch::new("man");
    assert_eq!(printed(mhlab(&scratch.0, &["man", "."])), "");
    let page = fs::read_to_string(scratch.0.join("mhlab-run.1")).expect("a manual page");
    assert!(page.contains("strict"));
    assert!(printed(mhlab(&scratch.0, &["completions", "bash"])).contains("mhlab"));
}

#[test]
fn help_tells_the_exit_status() {
    for arguments in [&["--help"][..], &["run", "--help"]] {
        assert!(printed(mhlab(Path::new("."), arguments)).contains("Exit status:"));
    }
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_mhlab"))
        .arg("schema")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("mhlab starts");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("mhlab ends");
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]));
}

#[test]
fn what_this_machine_lacks_is_skipped_and_never_passed() {
    let scratch = Scratch::new("skipped");
    let both = SCENARIO.replace(
        "variant.nothing.breaks",
        "variant.mhnat.mhnat = \"nat.mhnat.toml\"\nvariant.nothing.breaks",
    );
    scratch.file("one.toml", &both).file("two.toml", &both).file("nat.mhnat.toml", "").file("bin/keep", "");
    // A place of its own, beside which there is no mhnat.
    let program = scratch.0.join("bin/mhlab");
    fs::hard_link(env!("CARGO_BIN_EXE_mhlab"), &program).expect("a link");
    let output = Command::new(program)
        .args(["run", "--filter", "variant(mhnat)", "--report", "junit=run.xml", "."])
        .current_dir(&scratch.0)
        .env("PATH", "/nowhere")
        .env_remove("MHLAB_MHNAT")
        .env_remove("CLICOLOR_FORCE")
        .output()
        .expect("mhlab starts");
    assert_eq!(output.status.code(), Some(3));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let text =
        text.split(" in ").next().expect("a text").to_owned() + &String::from_utf8_lossy(&output.stderr);
    insta::assert_snapshot!("skipped", text.replace("error:", "\n\nerror:"));
    let report = fs::read_to_string(scratch.0.join("run.xml")).expect("a report");
    assert!(report.contains("tests=\"2\" skipped=\"2\" failures=\"0\" errors=\"0\""), "{report}");
}

/// Every broken scenario of the language's own tests, as a run would meet it.
#[test]
fn no_broken_scenario_is_run() {
    let manifest = std::env::var_os("CARGO_MANIFEST_DIR");
    let manifest = manifest.map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    let broken = fs::read_dir(manifest.join("../model/tests/broken")).expect("the broken scenarios");
    let files: Vec<PathBuf> = broken
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .collect();
    assert!(files.len() >= 40, "only {} files", files.len());
    for file in files {
        let output = mhlab(&manifest, &["run", &file.to_string_lossy()]);
        let text = told(&output);
        assert_eq!(output.status.code(), Some(2), "{}: {text}", file.display());
        assert!(text.contains("nothing was built"), "{}: {text}", file.display());
    }
}
