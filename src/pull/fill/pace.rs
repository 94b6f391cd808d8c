//! Pace: what a connection gives, and so how much of a blob is worth a request of its own.

use std::time::Duration;

/// A part is at least so large, and so is the first, before anything is known.
const MIN_PART_BYTES: u64 = 1 << 20;
const FIRST_PART_BYTES: u64 = 4 << 20;
/// A part of less says nothing about the line.
const TELLING_BYTES: u64 = 256 << 10;
/// A rest that is through sooner than this is not cut: several connections would gain next to nothing.
const WORTH_CUTTING: Duration = Duration::from_millis(400);
/// A part takes no longer than this: what comes out of order is hashed later, from memory while it is young.
const LONGEST_PART: Duration = Duration::from_secs(2);
/// A part takes at least so many times as long as the server takes to begin it.
const LATENCIES_A_PART: u32 = 10;

/// What connections gave so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pace {
    bytes_a_second: Option<u64>,
    latency: Duration,
}

impl Pace {
    /// Takes in a part of `bytes` whose first byte came after `latency`, and the rest within `transfer`.
    pub(super) fn learn(&mut self, bytes: u64, latency: Duration, transfer: Duration) {
        if bytes < TELLING_BYTES {
            return;
        }
        let rate = bytes.saturating_mul(1_000_000) / micros(transfer).max(1);
        // Newer parts count more; the line may change.
        if let Some(known) = self.bytes_a_second {
            self.bytes_a_second = Some(known / 2 + rate / 2);
            self.latency = (self.latency + latency) / 2;
        } else {
            (self.bytes_a_second, self.latency) = (Some(rate), latency);
        }
    }

    /// How much of `blob_bytes` that nobody fetches yet to ask for at once, where `all_bytes` of all blobs are left for
    /// `connections`. Blobs that a connection is soon through with are not cut. Otherwise parts shrink with what is
    /// left, so that all connections end together.
    pub(super) fn part_bytes(&self, blob_bytes: u64, all_bytes: u64, connections: u64) -> u64 {
        let part = match self.bytes_a_second {
            None => FIRST_PART_BYTES,
            Some(rate) => {
                let within = |time: Duration| rate.saturating_mul(micros(time)) / 1_000_000;
                let least = within(self.latency.saturating_mul(LATENCIES_A_PART));
                let share = all_bytes / (2 * connections.max(1));
                if within(WORTH_CUTTING) >= blob_bytes {
                    blob_bytes
                } else {
                    share.min(within(LONGEST_PART)).max(least).max(MIN_PART_BYTES)
                }
            }
        };
        // A small rest is not worth a request.
        if part + MIN_PART_BYTES > blob_bytes { blob_bytes } else { part }
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn pace(mib_a_second: u64, latency_ms: u64) -> Pace {
        let mut pace = Pace::default();
        pace.learn(mib_a_second * MIB, Duration::from_millis(latency_ms), Duration::from_secs(1));
        pace
    }

    #[test]
    fn blobs_are_cut_where_that_gains_time() {
        let part = |pace: Pace, blob: u64, all: u64| pace.part_bytes(blob * MIB, all * MIB, 8) / MIB;
        assert_eq!(part(Pace::default(), 250, 1000), 4, "nothing is known");
        assert_eq!(part(Pace::default(), 5, 1000), 5 - 1, "");
        assert_eq!(part(pace(700, 1), 250, 250), 250, "soon over");
        assert_eq!(part(pace(20, 1), 62, 250), 15, "an eighth of a half for each");
        assert_eq!(part(pace(20, 1), 30, 30), 1, "all end together");
        assert_eq!(part(pace(20, 1), 8, 30), 8, "soon over");
        assert_eq!(part(pace(20, 100), 62, 100), 20, "worth its latency");
        assert_eq!(part(pace(1, 1), 62, 62), 2, "two seconds' worth");
        assert_eq!(part(pace(0, 1), 62, 62), 4, "what is too little says nothing");
    }

    #[test]
    fn every_part_is_a_part_of_the_blob() {
        for rate in [0, 1, 50, 5000] {
            for blob in [0, 1, MIB, 3 * MIB, 5 * MIB, 1 << 40] {
                let part = pace(rate, 50).part_bytes(blob, blob, 8);
                assert!(part <= blob && (part > 0 || blob == 0), "{rate} {blob} {part}");
            }
        }
    }
}
