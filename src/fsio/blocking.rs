//! Work that waits for the disk, beside the runtime's own threads.

use std::sync::Arc;

/// Runs `work` where it may wait. Panics of it are carried on.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => value,
        // The runtime ends only with the process, so the work panicked: carry that on.
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

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
