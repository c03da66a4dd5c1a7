use super::*;

fn attributes(parts: &[(u16, &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    for (kind, content) in parts {
        out.extend(u16::try_from(content.len() + 4).unwrap().to_ne_bytes());
        out.extend(kind.to_ne_bytes());
        out.extend(*content);
        out.resize(aligned(out.len()), 0);
    }
    out
}

#[test]
fn attributes_are_found_behind_others_and_with_flag_bits() {
    let all = attributes(&[(1, b"mhnat\0"), (0x8002, b"nested"), (3, &[0, 0, 0, 9])]);
    assert_eq!(text(&all, 1), Some(&b"mhnat"[..]));
    assert_eq!(attribute(&all, 2), Some(&b"nested"[..]));
    assert_eq!(attribute(&all, 3).and_then(number), Some(9));
    assert_eq!(attribute(&all, 4), None);
}

#[test]
fn what_is_cut_short_is_nothing_and_no_panic() {
    let all = attributes(&[(1, b"mhnat\0"), (2, b"nested")]);
    for length in 0..all.len() - 2 {
        let cut = all.get(..length).unwrap();
        assert_eq!(attribute(cut, 2), None, "{length}");
    }
    // A length that is smaller than the header itself.
    assert_eq!(attribute(&[0, 0, 1, 0, 0, 0, 0, 0], 2), None);
    for length in 0..6 {
        assert_eq!(comment([2, 1, 7, 0, 1, b'x'].get(..length).unwrap()), None, "{length}");
    }
}

#[test]
fn a_comment_is_found_behind_other_data() {
    assert_eq!(comment(&[2, 1, 7, 0, 4, b'w', b'h', b'y', 0]), Some(&b"why"[..]));
    assert_eq!(comment(&[2, 1, 7]), None);
}

#[test]
fn a_request_carries_its_own_length() {
    let message = request(GET_SET, NLM_F_DUMP, 1, Some(b"mhnat")).unwrap();
    assert_eq!(word(&message, 0).map(|it| it as usize), Some(message.len()));
    assert_eq!(half(&message, 4), Some(GET_SET));
    assert_eq!(half(&message, 6), Some(NLM_F_REQUEST | NLM_F_DUMP));
    assert_eq!(text(message.get(BODY..).unwrap(), NFTA_OF_TABLE), Some(&b"mhnat"[..]));
}
