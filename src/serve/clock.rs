//! Times as the API tells them (RFC 3339, UTC, whole seconds) and as file names have them.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

const DAY_SECONDS: u64 = 86_400;

/// Seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Time(u64);

impl Time {
    pub(super) fn now() -> Self {
        SystemTime::now().into()
    }

    /// A time of the file system.
    pub(super) fn of_seconds(seconds: i64) -> Self {
        Self(u64::try_from(seconds).unwrap_or(0))
    }

    /// How long it is since `earlier`; nothing if that is to come.
    pub(super) fn since(self, earlier: Self) -> Duration {
        Duration::from_secs(self.0.saturating_sub(earlier.0))
    }

    /// `20261121_230600`.
    pub(super) fn stamp(self) -> String {
        let ([year, month, day], [hour, minute, second]) = self.parts();
        format!("{year:04}{month:02}{day:02}_{hour:02}{minute:02}{second:02}")
    }

    /// Year, month, day; hour, minute, second.
    fn parts(self) -> ([u64; 3], [u64; 3]) {
        let (days, seconds) = (self.0 / DAY_SECONDS, self.0 % DAY_SECONDS);
        // Howard Hinnant's days to civil date: years begin in March, so that leap days come last.
        let shifted = days + 719_468;
        let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
        let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
        let year = year_of_era + era * 400 + u64::from(month <= 2);
        ([year, month, day], [seconds / 3600, seconds % 3600 / 60, seconds % 60])
    }

    /// Reads what [`Display`](std::fmt::Display) writes.
    fn parse(text: &str) -> Option<Self> {
        let number = |range: std::ops::Range<usize>| text.get(range)?.parse::<u64>().ok();
        let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
        let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
        let year_from_march = if month <= 2 { year.checked_sub(1)? } else { year };
        let (era, year_of_era) = (year_from_march / 400, year_from_march % 400);
        let month_from_march = if month > 2 { month - 3 } else { month + 9 };
        let day_of_year = (153 * month_from_march + 2) / 5 + day.checked_sub(1)?;
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        let days = (era * 146_097 + day_of_era).checked_sub(719_468)?;
        let time = Self(days * DAY_SECONDS + hour * 3600 + minute * 60 + second);
        (time.to_string() == text).then_some(time)
    }
}

impl From<SystemTime> for Time {
    fn from(time: SystemTime) -> Self {
        Self(time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs()))
    }
}

impl std::fmt::Display for Time {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ([year, month, day], [hour, minute, second]) = self.parts();
        write!(formatter, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| de::Error::custom("it is no time"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_and_read() {
        for (seconds, text, stamp) in [
            (0, "1970-01-01T00:00:00Z", "19700101_000000"),
            (951_782_399, "2000-02-28T23:59:59Z", "20000228_235959"),
            (951_868_799, "2000-02-29T23:59:59Z", "20000229_235959"),
            (1_795_302_366, "2026-11-21T23:06:06Z", "20261121_230606"),
            (4_107_542_400, "2100-03-01T00:00:00Z", "21000301_000000"),
        ] {
            assert_eq!(Time(seconds).to_string(), text);
            assert_eq!(Time(seconds).stamp(), stamp);
            assert_eq!(Time::parse(text), Some(Time(seconds)));
        }
        for bad in ["", "2026-11-21", "2026-13-21T23:06:06Z", "2026-11-31T23:06:06Z", "2026-00-00T00:00:00Z"]
        {
            assert_eq!(Time::parse(bad), None, "{bad}");
        }
    }

    proptest::proptest! {
        #[test]
        fn every_time_is_read_as_it_is_told(seconds in 0u64..250_000_000_000) {
            assert_eq!(Time::parse(&Time(seconds).to_string()), Some(Time(seconds)));
        }
    }
}
