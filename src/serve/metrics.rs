//! Counters for Prometheus.

use std::fmt::Write;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

/// What is counted since the start.
#[derive(Default)]
pub(super) struct Metrics {
    /// By the hundreds of their status: 1xx to 5xx.
    answers: [AtomicU64; 5],
    pub(super) download_bytes: AtomicU64,
    pub(super) downloads: AtomicI64,
    pub(super) wrong_logins: AtomicU64,
    pub(super) files_deleted: AtomicU64,
    pub(super) archives_written: AtomicU64,
    pub(super) archives_failed: AtomicU64,
    pub(super) fetched_bytes: AtomicU64,
}

impl Metrics {
    pub(super) fn answered(&self, status: u16) {
        if let Some(count) = self.answers.get(usize::from(status / 100).wrapping_sub(1)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// In Prometheus' text format; `exports` are counted by their states.
    pub(super) fn text(&self, exports: &[(&str, usize)]) -> String {
        let mut text = String::new();
        let mut family = |name: &str, kind: &str, help: &str, samples: &[(String, i128)]| {
            let _ = writeln!(text, "# HELP sealift_{name} {help}\n# TYPE sealift_{name} {kind}");
            for (labels, value) in samples {
                let _ = writeln!(text, "sealift_{name}{labels} {value}");
            }
        };
        let one = |value: i128| [(String::new(), value)];
        let count = |counter: &AtomicU64| one(counter.load(Ordering::Relaxed).into());
        let answers = self.answers.iter().enumerate();
        let answers: Vec<_> = answers
            .map(|(index, count)| {
                (format!("{{class=\"{}xx\"}}", index + 1), count.load(Ordering::Relaxed).into())
            })
            .collect();
        family("http_responses_total", "counter", "Answers by the class of their status.", &answers);
        let exports: Vec<_> = exports
            .iter()
            .map(|(state, count)| (format!("{{state=\"{state}\"}}"), i128::try_from(*count).unwrap_or(0)))
            .collect();
        family("exports", "gauge", "Exports that are known, by state.", &exports);
        let downloads = one(self.downloads.load(Ordering::Relaxed).into());
        family("downloads", "gauge", "Downloads under way.", &downloads);
        for (name, help, counter) in [
            ("download_bytes_total", "Bytes of files handed out.", &self.download_bytes),
            ("fetched_bytes_total", "Bytes of blobs that came from registries.", &self.fetched_bytes),
            ("archives_written_total", "Archives that were exported.", &self.archives_written),
            ("archives_failed_total", "Archives that could not be exported.", &self.archives_failed),
            ("files_deleted_total", "Archives that were deleted.", &self.files_deleted),
            ("wrong_logins_total", "Logins that were refused.", &self.wrong_logins),
        ] {
            family(name, "counter", help, &count(counter));
        }
        text
    }
}
