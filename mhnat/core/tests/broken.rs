//! Every file under tests/broken is refused, and the whole message is what the snapshot says.

use std::fs;
use std::path::PathBuf;

use mhnat_core::config::{self, MAX_BYTES, Rejected};
use mhnat_core::diagnostic::{Colour, render};
use rstest::rstest;

#[rstest]
fn each_broken_file_gets_a_good_message(#[files("tests/broken/*.toml")] path: PathBuf) {
    let bytes = fs::read(&path).unwrap();
    let name = path.file_name().unwrap().to_str().unwrap();
    let Err(Rejected::Wrong { source, diagnostics }) = config::read(&bytes) else {
        panic!("{name} was not refused");
    };
    assert!(!diagnostics.is_empty(), "{name} was refused without a reason");
    insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
        insta::assert_snapshot!(name.trim_end_matches(".toml"), render(name, &source, &diagnostics, Colour::Never));
    });
}

#[test]
fn a_file_that_is_not_text_is_refused_with_its_line() {
    let bytes = b"[[uplink]]\nname = \"caf\xe9\"\n";
    assert_eq!(config::read(bytes), Err(Rejected::NotText { line: 2, byte: 0xe9 }));
}

#[test]
fn a_huge_file_is_refused_unread() {
    let bytes = vec![b'#'; MAX_BYTES + 1];
    assert_eq!(config::read(&bytes), Err(Rejected::TooLarge));
}
