use super::*;

#[test]
fn a_comment_is_found_behind_other_data() {
    assert_eq!(comment(&[2, 1, 7, 0, 4, b'w', b'h', b'y', 0]), Some(&b"why"[..]));
    assert_eq!(comment(&[2, 1, 7]), None);
}

#[test]
fn a_comment_that_is_cut_short_is_nothing_and_no_panic() {
    for length in 0..6 {
        assert_eq!(comment([2, 1, 7, 0, 1, b'x'].get(..length).unwrap()), None, "{length}");
    }
}
