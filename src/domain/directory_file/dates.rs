//! Dates as TOML writes them. A day is a day in UTC; an instant says its offset (known failure C5).

use chrono::{FixedOffset, NaiveDate, NaiveDateTime, NaiveTime, TimeZone};
use toml::value::{Datetime, Offset};

use crate::domain::policy::reader::{Node, Reader};
use crate::domain::value::time::Timestamp;

/// What a mere date means. People of HR say "until the 31st" and mean the whole day.
#[derive(Clone, Copy)]
pub(super) enum DayCounts {
    /// The first instant of the day: for an attestation, so that it lapses sooner rather than later.
    FromItsStart,
    /// The first instant of the next day: for an end.
    ToItsEnd,
}

/// The instant that a date or a time with an offset stands for.
pub(super) fn instant(reader: &mut Reader<'_>, node: &Node<'_>, day_counts: DayCounts) -> Option<Timestamp> {
    let wanted = "a date or an instant without quotes, as in `2027-01-31` or `2027-01-31T18:00:00Z`";
    let Some(given) = node.as_datetime() else {
        reader.wrong_type(node, wanted);
        return None;
    };
    let wanted = match (given.date, given.time, given.offset) {
        (Some(_), Some(_), None) => "an offset as well, such as `Z`: local time is never read",
        (Some(_), _, _) => "a date that exists, from 1970 on",
        (None, _, _) => wanted,
    };
    let instant = from_toml(given, day_counts);
    if instant.is_none() {
        reader.mistake(node.at, &node.path, format!("`{given}`"), wanted);
    }
    instant
}

fn from_toml(given: &Datetime, day_counts: DayCounts) -> Option<Timestamp> {
    let date = given.date?;
    let date = NaiveDate::from_ymd_opt(i32::from(date.year), u32::from(date.month), u32::from(date.day))?;
    let Some(time) = given.time else {
        return match day_counts {
            DayCounts::FromItsStart => Timestamp::start_of(date),
            DayCounts::ToItsEnd => Timestamp::start_of(date).and_then(|_| Timestamp::end_of(date)),
        };
    };
    let offset_seconds = match given.offset? {
        Offset::Z => 0,
        Offset::Custom { minutes } => i32::from(minutes).checked_mul(60)?,
    };
    let (second, nanosecond) = (u32::from(time.second.unwrap_or_default()), time.nanosecond.unwrap_or_default());
    let time = NaiveTime::from_hms_nano_opt(u32::from(time.hour), u32::from(time.minute), second, nanosecond)?;
    let local = NaiveDateTime::new(date, time);
    let instant = FixedOffset::east_opt(offset_seconds)?.from_local_datetime(&local).single()?;
    Timestamp::from_millis(instant.timestamp_millis()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, day_counts: DayCounts) -> Option<String> {
        from_toml(&text.parse().unwrap(), day_counts).map(|instant| instant.to_string())
    }

    #[test]
    fn a_day_is_a_day_in_utc_from_its_start_or_to_its_end() {
        assert_eq!(read("2028-02-29", DayCounts::FromItsStart).unwrap(), "2028-02-29T00:00:00.000Z");
        assert_eq!(read("2028-02-29", DayCounts::ToItsEnd).unwrap(), "2028-03-01T00:00:00.000Z");
        assert_eq!(read("9999-12-31", DayCounts::FromItsStart).unwrap(), "9999-12-31T00:00:00.000Z");
    }

    #[test]
    fn an_instant_counts_with_its_offset_and_to_the_millisecond() {
        let instant = |text| read(text, DayCounts::ToItsEnd);
        assert_eq!(instant("2027-01-31T23:30:00-14:00").unwrap(), "2027-02-01T13:30:00.000Z");
        assert_eq!(instant("2027-01-31T00:00:00.9999+02:00").unwrap(), "2027-01-30T22:00:00.999Z");
    }

    #[test]
    fn what_is_no_instant_or_out_of_range_is_none() {
        let texts =
            ["2027-01-31T18:00:00", "18:00:00", "1969-12-31", "9999-12-31T23:59:59-01:00", "1970-01-01T00:00:00+00:01"];
        for text in texts {
            assert_eq!(read(text, DayCounts::FromItsStart), None, "{text}");
        }
        assert_eq!(read("9999-12-31", DayCounts::ToItsEnd), None, "its end is in the year 10000");
    }
}
