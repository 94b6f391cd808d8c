//! What the server does by itself: archives that are too old, or too many, go every hour and after each export.

use std::sync::Arc;
use std::time::Duration;

use super::App;
use crate::fsio::blocking;

const EVERY: Duration = Duration::from_hours(1);

/// Cleans up now and every hour, for ever.
pub(super) async fn run(app: Arc<App>) {
    loop {
        app.clean_up().await;
        tokio::time::sleep(EVERY).await;
    }
}

impl App {
    /// An export has ended: what is known of its archives is written down, and there may be one too many.
    pub(super) async fn after_export(self: &Arc<Self>) {
        self.clean_up().await;
        let files = Arc::clone(&self.files);
        // What can't be read now is read when somebody asks for it.
        let _ = blocking(move || files.list().map(drop)).await;
    }
}
