use rstest::rstest;

use crate::config::{MAX_PREFIX_FILE_BYTES, Rejected, read, read_with};
use crate::diagnostic::{Colour, render};
use crate::model::Model;

const FILE: &str = r#"[[uplink]]
name = "is"
interface = "ppp1"
address = "100.64.2.2"
prefixes = ["196.26.0.0/16"]
prefixes-file = "za.txt"
"#;

fn with(content: Result<&str, &str>) -> Result<Model, String> {
    let named = |name: &str| {
        assert_eq!(name, "za.txt");
        content.map(|it| it.as_bytes().to_vec()).map_err(str::to_owned)
    };
    read_with(FILE.as_bytes(), &named).map_err(|rejected| match rejected {
        Rejected::Wrong { source, diagnostics } => render("x.toml", &source, &diagnostics, Colour::Never),
        other => format!("{other:?}"),
    })
}

fn prefixes(content: &str) -> Vec<String> {
    with(Ok(content)).unwrap().uplinks[0].prefixes.iter().map(ToString::to_string).collect()
}

#[test]
fn comments_blanks_and_line_ends_do_not_matter() {
    let content = "\u{feff}# HETZNER-ZA\r\n196.22.132.0/22\r\n\r\n  196.22.136.0/21 # two\n196.40.96.1\n196.22.132.0/22";
    assert_eq!(prefixes(content), ["196.22.132.0/22", "196.22.136.0/21", "196.26.0.0/16", "196.40.96.1/32"]);
    assert_eq!(prefixes(""), ["196.26.0.0/16"]);
}

#[test]
fn a_line_that_is_wrong_is_shown_with_its_number() {
    let content = "# one\n196.21.0.0/19\n  196.26.0.1/16  # bits\nppp1\n2001:db8::/32\n";
    insta::assert_snapshot!(with(Ok(content)).unwrap_err());
}

#[test]
fn many_wrong_lines_do_not_bury_the_first() {
    let content = "x\n".repeat(1000);
    let said = with(Ok(&content)).unwrap_err();
    assert_eq!(said.matches("error: ").count(), 11, "{said}");
    assert!(said.contains("990 more lines of \"za.txt\" are wrong"), "{said}");
}

#[rstest]
#[case::unreadable(Err("No such file or directory"), "No such file or directory")]
#[case::large(Ok("1.2.3.4\n".repeat(MAX_PREFIX_FILE_BYTES / 8 + 1)), "it is larger than 4 MiB")]
fn a_file_that_cannot_be_used_is_said_where_it_is_named(
    #[case] content: Result<String, &str>,
    #[case] words: &str,
) {
    let said = with(content.as_deref().map_err(|it| *it)).unwrap_err();
    assert!(said.contains("x.toml:6:17") && said.contains(words), "{said}");
}

#[test]
fn what_is_not_text_is_said_with_its_line() {
    let named = |_: &str| Ok(b"10.0.0.0/8\n\xff\n".to_vec());
    let Err(Rejected::Wrong { diagnostics, .. }) = read_with(FILE.as_bytes(), &named) else {
        panic!("accepted");
    };
    assert_eq!(diagnostics[0].label, "line 2 is not UTF-8 text");
}

#[test]
fn a_file_that_nobody_read_is_no_empty_one() {
    assert!(read(FILE.as_bytes()).is_err());
}
