//! Async work on a thread of its own, so that a test which blocks does not hold it up.

use std::thread::{self, JoinHandle};

use anyhow::{Result, anyhow};
use futures::future::select;
use tokio::{runtime, sync::oneshot};

/// Work that ends when this is dropped, with all that it has spawned.
#[derive(Debug)]
pub(crate) struct Background {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Background {
    /// Starts the work that `make` makes inside a runtime of its own.
    pub(crate) fn start<Work: Future<Output = ()>>(
        make: impl FnOnce() -> Work + Send + 'static,
    ) -> Result<Self> {
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel();
        let thread = thread::spawn(move || {
            runtime.block_on(async {
                select(Box::pin(make()), stopped).await;
            });
        });
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

/// Does the work on a thread of its own, and waits for its end.
pub(crate) fn complete<Work: Future<Output: Send>>(
    make: impl FnOnce() -> Work + Send + 'static,
) -> Result<Work::Output>
where
    Work::Output: 'static,
{
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    let done = thread::spawn(move || runtime.block_on(make())).join();
    done.map_err(|_| anyhow!("the work on another thread panicked"))
}

impl Drop for Background {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic has been printed.
            let _ = thread.join();
        }
    }
}
