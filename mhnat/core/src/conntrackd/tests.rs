use super::config as rendered;
use crate::config;

#[test]
fn the_file_of_the_example() {
    let model = config::read(include_bytes!("../../../examples/sync.toml")).unwrap();
    insta::assert_snapshot!("example", rendered(&model, "/run/mhnat").unwrap());
}

#[test]
fn every_word_of_the_configuration_is_in_the_file() {
    let text = r#"
[[uplink]]
name = "a"
interface = "eth0"
address = "2001:db8::2"

[sync]
peer = "fd00::1"
address = "fd00::2"
interface = "eth9"
peer-addresses = "2001:db8::1"
port = 4000
mode = "notrack"
ignore = ["10.0.0.0/8", "10.9.9.9", "fd05::/64"]
connections = 4096
buffer = 0
"#;
    let model = config::read(text.as_bytes()).unwrap();
    insta::assert_snapshot!("words", rendered(&model, "/var/lib/x").unwrap());
}

#[test]
fn without_sync_there_is_none() {
    let text = "[[uplink]]\nname = \"a\"\ninterface = \"eth0\"\naddress = \"192.0.2.2\"\n";
    assert_eq!(rendered(&config::read(text.as_bytes()).unwrap(), "/run/mhnat"), None);
}
