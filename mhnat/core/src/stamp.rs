//! Moments of the calendar, as they are written for people and for programs.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Milliseconds since the beginning of 1970, UTC, without leap seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Stamp(pub u64);

impl Stamp {
    /// In seconds, as Prometheus counts.
    #[expect(clippy::cast_precision_loss, reason = "milliseconds are exact for the next 200,000 years")]
    pub fn seconds(self) -> f64 {
        self.0 as f64 / 1e3
    }
}

/// As RFC 3339 has it, in UTC.
impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, time) = (self.0 / 86_400_000, self.0 % 86_400_000);
        // Days since the first of March of the year 0, so that the day that some years add is the last of a year; and
        // 400 years always have as many days.
        let days = days + 719_468;
        let (era, day) = (days / 146_097, days % 146_097);
        let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
        let day = day - (365 * year + year / 4 - year / 100);
        // Months from March on: 153 days for each five.
        let month = (5 * day + 2) / 153;
        let day = day - (153 * month + 2) / 5 + 1;
        let (year, month) =
            if month < 10 { (era * 400 + year, month + 3) } else { (era * 400 + year + 1, month - 9) };
        let (seconds, milliseconds) = (time / 1000, time % 1000);
        let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milliseconds:03}Z")
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(0, "1970-01-01T00:00:00.000Z")]
    #[case(951_782_399_999, "2000-02-28T23:59:59.999Z")]
    #[case(951_782_400_000, "2000-02-29T00:00:00.000Z")]
    #[case(951_868_800_000, "2000-03-01T00:00:00.000Z")]
    #[case(1_709_251_199_001, "2024-02-29T23:59:59.001Z")]
    #[case(1_735_689_600_000, "2025-01-01T00:00:00.000Z")]
    #[case(4_107_542_400_000, "2100-03-01T00:00:00.000Z")]
    fn the_calendar(#[case] milliseconds: u64, #[case] text: &str) {
        assert_eq!(Stamp(milliseconds).to_string(), text);
    }
}
