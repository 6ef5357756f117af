use super::*;

fn span(seconds: i64, nanos: i32) -> Result<Span, String> {
    duration(&Duration { seconds, nanos })
}

#[test]
fn each_bad_duration_has_its_own_message() {
    for (seconds, nanos, wanted) in [
        (0, 0, "zero"),
        (-1, 0, "negative"),
        (0, -5_000_000, "negative"),
        (1, 1, "finer than a millisecond"),
        (0, 999_000_000, "999ms; 1 s to 24 h"),
        (86_401, 0, "1 s to 24 h"),
        (i64::MAX, 0, "out of range"),
        (i64::MIN, 0, "negative"),
        (1, -1_000_000, "disagree"),
        (1, 1_000_000_000, "disagree"),
        (1, i32::MIN, "disagree"),
    ] {
        let error = span(seconds, nanos).unwrap_err();
        assert!(error.contains(wanted), "{seconds} {nanos}: {error}");
    }
    assert_eq!(span(1, 0), Ok(Span::SECOND));
    assert_eq!(span(86_400, 0), Ok(Span::DAY));
    assert_eq!(span(1, 500_000_000).unwrap().millis(), 1_500);
}

#[test]
fn instants_are_whole_milliseconds_within_range_and_render_as_parsed() {
    let at = |seconds, nanos| timestamp(&PbTimestamp { seconds, nanos });
    for (seconds, nanos) in [(-1, 0), (253_402_300_800, 0), (0, -1), (0, 1_000_000_000), (1, 1), (i64::MAX, 0)] {
        assert!(at(seconds, nanos).is_err(), "{seconds} {nanos}");
    }
    let parsed = at(1_700_000_000, 123_000_000).unwrap();
    assert_eq!(pb_timestamp(parsed), PbTimestamp { seconds: 1_700_000_000, nanos: 123_000_000 });
    assert_eq!(pb_end(Timestamp::MAX), None);
    assert_eq!(pb_duration(span(61, 7_000_000).unwrap()), Duration { seconds: 61, nanos: 7_000_000 });
}

#[test]
fn sequences_come_back_as_they_were_given() {
    assert_eq!(sequence(""), Ok(None));
    assert_eq!(sequence("0"), Ok(Some(SaidSequence::Number(0))));
    assert_eq!(sequence("18446744073709551615"), Ok(Some(SaidSequence::Number(u64::MAX))));
    for text in ["-1", "+1", "01", " 1", "1 ", "0x1", "18446744073709551616", "latest", "١"] {
        assert!(sequence(text).is_err(), "{text}");
    }
}

#[test]
fn an_ending_has_four_digits_at_least_and_one_spelling() {
    use crate::domain::value::ids::GrantId;
    let whole = "0197c9a2-7f3b-7cc1-8000-0123456789ab";
    assert_eq!(named::<GrantId>(whole), Ok(Named::Whole(whole.parse().unwrap())));
    assert_eq!(named::<GrantId>("89ab"), Ok(Named::Ending("89ab".to_owned())));
    for text in ["", "9ab", "-9ab", "89AB", "89ag", "%%%%", &whole.to_uppercase(), &format!("0{whole}")] {
        assert!(named::<GrantId>(text).is_err(), "{text}");
    }
}

#[test]
fn digests_are_32_bytes() {
    assert!(digest(&[7; 32]).is_ok());
    for length in [0, 31, 33] {
        assert!(digest(&vec![7; length]).unwrap_err().contains(&format!("{length} bytes")));
    }
}
