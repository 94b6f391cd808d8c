//! A walk by a thread of its own, a little ahead of who takes its entries: while those are read and hashed, the next are
//! opened and looked at.

use std::sync::mpsc::sync_channel;
use std::thread;

use super::error::OverlayError;
use super::layer::LeftOut;
use super::raw::{RawEntry, RawWalk};

/// Steps that are handed on together: waking another thread takes longer than one step.
const STEPS: usize = 32;
/// How many times that may wait; files of all of them are open.
const WAITING: usize = 3;

/// What a walk came to.
pub(super) enum Step {
    Entry(RawEntry),
    /// It is no entry.
    LeftOut(LeftOut),
}

/// Hands the steps of a walk to `take`, in order. Nothing comes after an error.
pub(super) fn walk_ahead<T>(
    mut walk: RawWalk,
    take: impl FnOnce(&mut dyn Iterator<Item = Result<Step, OverlayError>>) -> T,
) -> T {
    thread::scope(|scope| {
        let (sender, receiver) = sync_channel(WAITING);
        scope.spawn(move || {
            let mut goes_on = true;
            while goes_on {
                let mut steps = Vec::with_capacity(STEPS);
                while goes_on && steps.len() < STEPS {
                    let next = walk.next(&mut |one| steps.push(Ok(Step::LeftOut(one))));
                    goes_on = matches!(next, Ok(Some(_)));
                    steps.extend(next.transpose().map(|entry| entry.map(Step::Entry)));
                }
                // Whoever needs no more of them is gone.
                if sender.send(steps).is_err() {
                    return;
                }
            }
        });
        take(&mut receiver.into_iter().flatten())
    })
}
