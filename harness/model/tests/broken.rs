//! Broken scenarios: what a person is told about each. One file, one kind of mistake.

use std::{fs, path::Path};

use harness_model::{
    diagnostic::render,
    scenario::{MAX_BYTES, parse},
};

fn told(name: &str, source: &str) -> String {
    let findings = parse(source).err().unwrap_or_default();
    assert!(!findings.is_empty(), "{name} is no broken scenario");
    render(name, source, &findings, false)
}

#[test]
fn every_broken_scenario_is_explained() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/broken");
    let mut paths: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .collect();
    paths.sort();
    assert!(paths.len() >= 45);
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("broken");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| {
        for path in paths {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let source = fs::read_to_string(&path).unwrap();
            insta::assert_snapshot!(name.trim_end_matches(".toml"), told(&name, &source));
        }
    });
}

#[test]
fn a_huge_file_is_not_even_read() {
    let huge = format!("title = \"{}\"\n", "x".repeat(MAX_BYTES));
    insta::assert_snapshot!(told("huge.toml", &huge), @r"
    error: huge.toml: the file has 1048587 bytes, expected at most 1048576
     |
    help: is this a scenario? Put rulesets and configurations into files of their own
    ");
}

#[test]
fn a_file_full_of_errors_is_not_told_in_full() {
    let told = told("noise.toml", &"?\n".repeat(10_000));
    assert!(told.lines().count() < 200, "{told}");
    assert!(told.contains("more errors of syntax"), "{told}");
}
