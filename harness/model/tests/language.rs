//! The scenarios of this repository, and the schema that editors complete them with.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
};

use harness_model::{
    diagnostic::render,
    plan,
    scenario::{parse, schema},
};

fn here() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All scenario files below a folder; a configuration of mhnat lies beside its scenario as `NAME.mhnat.toml`.
fn scenarios(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        if path.is_dir() {
            found.extend(scenarios(&path)?);
        } else if name.ends_with(".toml") && !name.ends_with(".mhnat.toml") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

#[test]
fn every_scenario_is_read_and_planned() {
    let paths = scenarios(&here().join("../../scenarios")).unwrap();
    assert!(!paths.is_empty());
    for path in paths {
        let text = fs::read_to_string(&path).unwrap();
        let scenario = parse(&text).unwrap_or_else(|findings| {
            panic!("{}", render(&path.to_string_lossy(), &text, &findings, false))
        });
        let plan = plan::build(&scenario.topology, scenario.ipv6);
        assert_eq!(plan.nodes.len(), scenario.topology.nodes.len(), "{}", path.display());
    }
}

#[test]
fn the_committed_schema_is_that_of_the_types() {
    let path = here().join("scenario.schema.json");
    if env::var_os("MHLAB_UPDATE_SCHEMA").is_some() {
        fs::write(&path, schema()).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == schema(),
        "{} is out of date; MHLAB_UPDATE_SCHEMA=1 cargo test -p harness-model --test language writes it",
        path.display()
    );
}
