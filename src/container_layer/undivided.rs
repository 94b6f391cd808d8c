//! Requests in the middle of what no signal may divide.

use std::thread;

/// Runs it to its end on a thread and a runtime of its own, since the one here may be ending, and waits for it as a plain call does.
pub(super) fn undivided<T: Send>(
    request: impl Future<Output = Result<T, super::ContainerLayerError>> + Send,
) -> Result<T, super::ContainerLayerError> {
    let run = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| super::ContainerLayerError::Unasked(error.to_string()))?;
        runtime.block_on(request)
    };
    let panicked = || super::ContainerLayerError::Unasked("the thread that asked Docker died".to_owned());
    thread::scope(|scope| scope.spawn(run).join().unwrap_or_else(|_| Err(panicked())))
}
