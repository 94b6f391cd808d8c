//! Numbers and times as Go's `encoding/binary` and `time` write them, which is how they stand in meta.db.

use std::fmt;

/// Seconds from the year 1, where Go's times begin, to 1970.
const UNIX_EPOCH: i64 = 62_135_596_800;
const DAY_SECONDS: i64 = 86_400;

/// A moment, to the nanosecond. Shown as RFC 3339 has it, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp {
    /// Since 1970; before it, negative.
    pub unix_seconds: i64,
    /// Behind these seconds.
    pub nanoseconds: u32,
}

impl Timestamp {
    /// Reads what `Time.MarshalBinary` writes: a version, seconds since the year 1, nanoseconds, and minutes (in version 2
    /// seconds, too) from UTC, which change nothing about the moment.
    pub(super) fn of_binary(bytes: &[u8]) -> Option<Self> {
        match (bytes.first()?, bytes.len()) {
            (1, 15) | (2, 16) => {}
            _ => return None,
        }
        let seconds = i64::from_be_bytes(*bytes[1..].first_chunk()?);
        let nanoseconds = u32::from_be_bytes(*bytes[9..].first_chunk()?);
        // Go's zero time is none.
        let is_time = nanoseconds < 1_000_000_000 && (seconds, nanoseconds) != (0, 0);
        let unix_seconds = seconds.checked_sub(UNIX_EPOCH).filter(|_| is_time)?;
        Some(Self { unix_seconds, nanoseconds })
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, second) =
            (self.unix_seconds.div_euclid(DAY_SECONDS), self.unix_seconds.rem_euclid(DAY_SECONDS));
        let (year, month, day) = date(days);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        write!(formatter, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")?;
        if self.nanoseconds > 0 {
            let fraction = format!("{:09}", self.nanoseconds);
            write!(formatter, ".{}", fraction.trim_end_matches('0'))?;
        }
        formatter.write_str("Z")
    }
}

/// Year, month and day of so many days since 1970. Years are counted from March, so that a leap day is a year's last.
fn date(days: i64) -> (i64, i64, i64) {
    const ERA_DAYS: i64 = 146_097; // 400 years
    let days = i128::from(days) + 719_468; // since March of the year 0
    let era = days.div_euclid(ERA_DAYS.into());
    let day_of_era = i64::try_from(days.rem_euclid(ERA_DAYS.into())).unwrap_or_default();
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = i64::try_from(era).unwrap_or_default() * 400 + year_of_era + i64::from(month <= 2);
    (year, month, day)
}

/// Reads what `binary.PutVarint` writes: seven bits a byte, the lowest first, the sign in the lowest.
pub(super) fn varint(bytes: &[u8]) -> Option<i64> {
    let folded = uvarint(bytes)?;
    Some((folded >> 1).cast_signed() ^ -(folded & 1).cast_signed())
}

/// Reads what `binary.PutUvarint` writes: the same without a sign.
pub(super) fn uvarint(bytes: &[u8]) -> Option<u64> {
    let mut number = 0u64;
    for (index, byte) in bytes.iter().enumerate().take(10) {
        let bits = u64::from(byte & 0x7f);
        number |= bits.checked_shl(7 * u32::try_from(index).ok()?).filter(|_| index < 9 || bits <= 1)?;
        if byte & 0x80 == 0 {
            return (index + 1 == bytes.len()).then_some(number);
        }
    }
    None
}

/// What `binary.PutVarint` writes.
pub fn written_varint(number: i64) -> Vec<u8> {
    let mut left = (number << 1 ^ number >> 63).cast_unsigned();
    let mut bytes = Vec::new();
    while left > 0x7f {
        bytes.push(left.to_le_bytes()[0] | 0x80);
        left >>= 7;
    }
    bytes.push(left.to_le_bytes()[0]);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_go_are_read() {
        // time.Date(2026, 11, 21, 12, 34, 56, 789000000, UTC) and the same moment elsewhere.
        let seconds = (1_795_264_496i64 + UNIX_EPOCH).to_be_bytes();
        let nanoseconds = 789_000_000u32.to_be_bytes();
        let utc = [&[1][..], &seconds, &nanoseconds, &(-1i16).to_be_bytes()].concat();
        let elsewhere = [&[2][..], &seconds, &nanoseconds, &60i16.to_be_bytes(), &[30]].concat();
        let time = Timestamp::of_binary(&utc).unwrap();
        assert_eq!(time.to_string(), "2026-11-21T12:34:56.789Z");
        assert_eq!(Timestamp::of_binary(&elsewhere), Some(time));
        for bad in [&utc[..14], &[&utc[..], &[0]].concat(), &[3; 15], &[]] {
            assert_eq!(Timestamp::of_binary(bad), None, "{bad:?}");
        }
        let zero = [&[1][..], &[0; 12], &(-1i16).to_be_bytes()].concat();
        assert_eq!(Timestamp::of_binary(&zero), None);
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (unix_seconds, shown) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (951_868_800, "2000-03-01T00:00:00Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (-1, "1969-12-31T23:59:59Z"),
            (-UNIX_EPOCH, "0001-01-01T00:00:00Z"),
        ] {
            assert_eq!(Timestamp { unix_seconds, nanoseconds: 0 }.to_string(), shown);
        }
        // Hostile ones are shown as something, and don't panic.
        for unix_seconds in [i64::MIN, i64::MAX] {
            assert!(Timestamp { unix_seconds, nanoseconds: 1 }.to_string().ends_with(".000000001Z"));
        }
    }

    #[test]
    fn numbers_are_written_as_go_does() {
        for number in [0, 1, -1, 63, 64, -64, -65, 4992, i64::MAX, i64::MIN] {
            assert_eq!(varint(&written_varint(number)), Some(number));
        }
        assert_eq!(written_varint(4992), [0x80, 0x4e]);
    }

    #[test]
    fn numbers_of_go_are_read() {
        for (bytes, number) in [
            (&[0x00][..], Some(0)),
            (&[0x01], Some(-1)),
            (&[0x02], Some(1)),
            (&[0x80, 0x01], Some(64)),
            (&[0x90, 0x4e], Some(5000)),
            (&[0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01], Some(i64::MAX)),
            (&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01], Some(i64::MIN)),
            (&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02], None),
            (&[0x80; 11], None),
            (&[0x80], None),
            (&[0x02, 0x00], None),
            (&[], None),
        ] {
            assert_eq!(varint(bytes), number, "{bytes:?}");
        }
    }
}
