//! Requests to cancel the process.

use std::future::Future;
use std::io;
use std::pin::pin;

use crate::output;

/// Receives requests to cancel: Ctrl-C, a signal to terminate, and the closing of the terminal.
///
/// Once this exists, such a request no longer ends the process by itself.
pub(crate) struct CancelRequests {
    #[cfg(unix)]
    signals: [tokio::signal::unix::Signal; 3],
}

impl CancelRequests {
    /// Starts to receive requests.
    pub(crate) fn listen() -> io::Result<Self> {
        #[cfg(unix)]
        {
            use tokio::signal::unix::{SignalKind, signal};
            let signals =
                [signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?, signal(SignalKind::hangup())?];
            Ok(Self { signals })
        }
        #[cfg(not(unix))]
        Ok(Self {})
    }

    /// Waits for the next request.
    pub(crate) async fn next(&mut self) -> io::Result<()> {
        #[cfg(unix)]
        {
            let [interrupt, terminate, hangup] = &mut self.signals;
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
                _ = hangup.recv() => {}
            }
            Ok(())
        }
        #[cfg(not(unix))]
        tokio::signal::ctrl_c().await
    }
}

/// Returns the result of `work`, or `None` if somebody cancels the process first.
pub(crate) async fn until_cancelled<T>(work: impl Future<Output = T>) -> Option<T> {
    let Ok(mut requests) = CancelRequests::listen() else { return Some(work.await) };
    tokio::select! {
        result = work => Some(result),
        Ok(()) = requests.next() => None,
    }
}

/// Finishes `work` even if somebody cancels the process.
///
/// Until a new secret is stored, this process holds the only copy. Each request to cancel gets a line that says so.
pub(crate) async fn defer_cancellation<T>(work: impl Future<Output = T>) -> T {
    let Ok(mut requests) = CancelRequests::listen() else {
        // Without signals, this process cannot defer anything.
        return work.await;
    };
    let mut work = pin!(work);
    loop {
        tokio::select! {
            result = &mut work => return result,
            request = requests.next() => {
                if request.is_err() {
                    return work.await;
                }
                output::notice("Stopping as soon as the new secret is stored; stopping now would lose it.");
            }
        }
    }
}
