//! Work that waits for the disk, beside the runtime's own threads.

use std::any::Any;
use std::panic;
use std::sync::Arc;

/// Runs `work` where it may wait. Panics of it are carried on.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    // A task of its own for each kind of work would make the binary a good deal larger.
    let work: Work = Box::new(|| Box::new(work()));
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => *value.downcast().unwrap_or_else(|_| unreachable!("work gives what it is asked for")),
        // The runtime ends only with the process, so the work panicked: carry that on.
        Err(error) => panic::resume_unwind(error.into_panic()),
    }
}

/// Work whose outcome is known by who asked for it.
type Work = Box<dyn FnOnce() -> Box<dyn Any + Send> + Send>;

/// Someone waits for what a thread does; dropped, nobody does any more.
#[derive(Default)]
pub struct Waiting(Arc<()>);

impl Waiting {
    /// For the thread: does someone still wait?
    pub fn asked(&self) -> impl Fn() -> bool + Send + 'static {
        let waiting = Arc::downgrade(&self.0);
        move || waiting.strong_count() > 0
    }
}
