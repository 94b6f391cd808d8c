//! What is known of the places that have a registry's images: which failed, which broke off which blob, which lied.
//!
//! Pure bookkeeping: from it comes the order in which places are asked for something. A place is an index; mirrors come
//! first, as they are ranked, and the registry itself, if it is used, is the last.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::{Duration, Instant};

use crate::image::{Digest, Repository};

/// How long a place that can't be reached stands behind the others.
const REST: Duration = Duration::from_mins(1);

/// The accounts.
#[derive(Debug)]
pub(super) struct Ledger {
    places: Vec<Place>,
    blobs: HashMap<Digest, History>,
}

#[derive(Debug, Default)]
struct Place {
    is_origin: bool,
    /// It lied: never again.
    dropped: bool,
    /// It failed: the others go first.
    rests_until: Option<Instant>,
    /// It said when to come again: nobody asks it before.
    left_alone_until: Option<Instant>,
    /// It refused our credentials, and would again: they may be locked for it.
    refused_us: bool,
    /// Repositories that it does not have, or does not show.
    lacking: HashSet<Repository>,
}

/// How the places did with one blob, each a number of times or at all.
#[derive(Debug, Default)]
struct History {
    breaks: HashMap<usize, u32>,
    gave: BTreeSet<usize>,
    lied: BTreeSet<usize>,
}

/// How a place failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// The place as a whole.
    Place,
    /// As well, and it is not to be asked for so long.
    LeaveAlone(Duration),
    /// It refused our credentials.
    Credentials,
    /// It does not have the repository, or does not show it.
    Repository,
    /// Only this blob, this time.
    Blob,
    /// It stated one digest and sent another.
    Lie,
}

/// What came of a blob that was not what its digest says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Judgement {
    /// The mirrors that are asked nothing more.
    pub(super) dropped: Vec<usize>,
    /// True if the blob may be had from a place that did not lie about it.
    pub(super) others_left: bool,
}

impl Place {
    /// True if it did not rest before.
    fn rest(&mut self, time: Duration, now: Instant) -> bool {
        let was_resting = self.rests_until.is_some_and(|until| until > now);
        self.rests_until = self.rests_until.max(now.checked_add(time));
        !was_resting
    }

    /// How long it is to be left alone, if it is; a refusal has no end.
    fn left_alone(&self, now: Instant) -> Option<Duration> {
        let left = self.left_alone_until.map(|until| until.saturating_duration_since(now));
        if self.refused_us { Some(Duration::MAX) } else { left.filter(|left| !left.is_zero()) }
    }
}

impl Ledger {
    /// Nothing known of so many mirrors, and of the registry after them.
    pub(super) fn new(mirrors: usize, with_origin: bool) -> Self {
        let mut places: Vec<Place> = (0..mirrors).map(|_| Place::default()).collect();
        places.extend(with_origin.then(|| Place { is_origin: true, ..Place::default() }));
        Self { places, blobs: HashMap::new() }
    }

    /// Whom to ask, in order, for something of `repository`: those of `ranking` with the least against them first.
    pub(super) fn order(
        &self,
        ranking: &[usize],
        repository: &Repository,
        blob: Option<&Digest>,
        now: Instant,
    ) -> Vec<usize> {
        let history = blob.and_then(|blob| self.blobs.get(blob));
        let lied = |place: &usize| history.is_some_and(|history| history.lied.contains(place));
        let against = |place: &usize| {
            let Place { rests_until, lacking, .. } = &self.places[*place];
            let breaks = history.and_then(|history| history.breaks.get(place)).copied().unwrap_or_default();
            breaks
                + u32::from(rests_until.is_some_and(|until| until > now))
                + u32::from(lacking.contains(repository))
        };
        let is_asked = |place: &usize| {
            let account = &self.places[*place];
            !account.dropped && account.left_alone(now).is_none() && !lied(place)
        };
        let mut order: Vec<usize> = ranking.iter().copied().filter(is_asked).collect();
        order.sort_by_key(against);
        order
    }

    /// Whom not to ask now, whatever it is about, and how long.
    pub(super) fn left_alone(&self, now: Instant) -> Vec<(usize, Duration)> {
        let accounts = self.places.iter().enumerate().filter(|(_, account)| !account.dropped);
        accounts.filter_map(|(place, account)| Some((place, account.left_alone(now)?))).collect()
    }

    /// A place failed. True if that is news about the place as a whole.
    pub(super) fn failed(
        &mut self,
        place: usize,
        repository: &Repository,
        blob: Option<&Digest>,
        trouble: Trouble,
        now: Instant,
    ) -> bool {
        let account = &mut self.places[place];
        match trouble {
            Trouble::Place => account.rest(REST, now),
            Trouble::LeaveAlone(wait) => {
                account.left_alone_until = account.left_alone_until.max(now.checked_add(wait));
                account.rest(wait.max(REST), now)
            }
            Trouble::Credentials => !std::mem::replace(&mut account.refused_us, true),
            Trouble::Repository => account.lacking.insert(repository.clone()),
            Trouble::Lie => {
                account.dropped = !account.is_origin;
                account.dropped
            }
            Trouble::Blob => {
                if let Some(blob) = blob {
                    self.broke(place, blob);
                }
                false
            }
        }
    }

    /// A place sent bytes for a blob.
    pub(super) fn gave(&mut self, place: usize, blob: &Digest) {
        self.blobs.entry(blob.clone()).or_default().gave.insert(place);
    }

    /// A place did not send all that it was asked for.
    pub(super) fn broke(&mut self, place: usize, blob: &Digest) {
        let breaks = self.blobs.entry(blob.clone()).or_default().breaks.entry(place).or_default();
        *breaks = breaks.saturating_add(1);
    }

    /// What was sent for a blob was not the blob. Which of several mirrors lied can't be told, so all of them go; the
    /// registry itself only goes, for this blob, if no mirror had a part in it.
    pub(super) fn distrust(&mut self, blob: &Digest) -> Judgement {
        let history = self.blobs.entry(blob.clone()).or_default();
        let gave = std::mem::take(&mut history.gave);
        let mirrors: Vec<usize> =
            gave.iter().copied().filter(|place| !self.places[*place].is_origin).collect();
        if mirrors.is_empty() {
            history.lied.extend(gave);
        }
        let news = |place: &usize| !std::mem::replace(&mut self.places[*place].dropped, true);
        let dropped = mirrors.into_iter().filter(news).collect();
        let is_left = |(place, account): (usize, &Place)| !account.dropped && !history.lied.contains(&place);
        let others_left = self.places.iter().enumerate().any(is_left);
        if !others_left {
            // It is an error now. Whoever asks again some day is to hear it from the registry.
            history.lied.clear();
        }
        Judgement { dropped, others_left }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::Reference;

    fn repository(name: &str) -> Repository {
        name.parse::<Reference>().unwrap().repository().clone()
    }

    /// Two mirrors and the registry.
    fn ledger() -> (Ledger, Instant, Digest) {
        (Ledger::new(2, true), Instant::now(), Digest::of(b"blob"))
    }

    #[test]
    fn a_place_that_fails_stands_behind_the_others_for_a_while() {
        let (mut ledger, now, _) = ledger();
        let app = repository("app");
        let order = |ledger: &Ledger, now| ledger.order(&[0, 1, 2], &app, None, now);
        assert_eq!(order(&ledger, now), [0, 1, 2]);
        assert!(ledger.failed(0, &app, None, Trouble::Place, now));
        assert!(!ledger.failed(0, &app, None, Trouble::Place, now), "that is known");
        assert_eq!(order(&ledger, now), [1, 2, 0]);
        assert_eq!(order(&ledger, now + REST), [0, 1, 2]);
    }

    #[test]
    fn a_place_that_said_when_to_come_again_is_not_asked_before() {
        let (mut ledger, now, _) = ledger();
        let (app, hour) = (repository("app"), Duration::from_hours(1));
        assert!(ledger.failed(1, &app, None, Trouble::LeaveAlone(hour), now));
        assert!(!ledger.failed(1, &app, None, Trouble::LeaveAlone(Duration::ZERO), now), "nor any sooner");
        for (later, expected) in [(REST, vec![0, 2]), (hour, vec![0, 1, 2])] {
            assert_eq!(ledger.order(&[0, 1, 2], &app, None, now + later), expected);
        }
        assert_eq!(ledger.left_alone(now + REST), [(1, hour.saturating_sub(REST))]);
        assert_eq!(ledger.left_alone(now + hour), []);
    }

    #[test]
    fn a_place_that_refused_our_credentials_is_asked_nothing_more() {
        let (mut ledger, now, _) = ledger();
        assert!(ledger.failed(0, &repository("app"), None, Trouble::Credentials, now));
        let day = now + Duration::from_hours(24);
        assert_eq!(ledger.order(&[0, 1, 2], &repository("other"), None, day), [1, 2]);
        assert_eq!(ledger.left_alone(day), [(0, Duration::MAX)]);
    }

    #[test]
    fn what_a_place_lacks_is_asked_for_elsewhere_and_the_rest_is_not() {
        let (mut ledger, now, _) = ledger();
        let (app, other) = (repository("app"), repository("other"));
        assert!(ledger.failed(0, &app, None, Trouble::Repository, now));
        assert_eq!(ledger.order(&[0, 1, 2], &app, None, now), [1, 2, 0]);
        assert_eq!(ledger.order(&[0, 1, 2], &other, None, now), [0, 1, 2]);
    }

    #[test]
    fn a_blob_that_broke_is_asked_for_where_it_broke_least() {
        let (mut ledger, now, blob) = ledger();
        let app = repository("app");
        let mut asked = Vec::new();
        for _ in 0..6 {
            let first = ledger.order(&[1, 0, 2], &app, Some(&blob), now)[0];
            ledger.broke(first, &blob);
            asked.push(first);
        }
        assert_eq!(asked, [1, 0, 2, 1, 0, 2]);
        let other = Digest::of(b"other");
        assert_eq!(ledger.order(&[1, 0, 2], &app, Some(&other), now), [1, 0, 2]);
    }

    #[test]
    fn mirrors_that_gave_wrong_bytes_are_dropped_and_the_registry_is_the_last() {
        let (mut ledger, now, blob) = ledger();
        let app = repository("app");
        ledger.gave(0, &blob);
        ledger.gave(2, &blob);
        assert_eq!(ledger.distrust(&blob), Judgement { dropped: vec![0], others_left: true });
        assert_eq!(ledger.order(&[0, 1, 2], &app, None, now), [1, 2]);
        ledger.gave(2, &blob);
        assert_eq!(ledger.distrust(&blob), Judgement { dropped: vec![], others_left: true });
        assert_eq!(ledger.order(&[0, 1, 2], &app, Some(&blob), now), [1], "for this blob");
        assert_eq!(ledger.order(&[0, 1, 2], &app, None, now), [1, 2]);
        ledger.gave(1, &blob);
        assert_eq!(ledger.distrust(&blob), Judgement { dropped: vec![1], others_left: false });
        assert_eq!(ledger.order(&[0, 1, 2], &app, Some(&blob), now), [2], "it may be asked again");
    }

    #[test]
    fn a_registry_without_mirrors_is_its_own_error() {
        let mut ledger = Ledger::new(0, true);
        let blob = Digest::of(b"blob");
        ledger.gave(0, &blob);
        assert_eq!(ledger.distrust(&blob), Judgement { dropped: vec![], others_left: false });
        assert!(!ledger.failed(0, &repository("app"), None, Trouble::Lie, Instant::now()));
    }
}
