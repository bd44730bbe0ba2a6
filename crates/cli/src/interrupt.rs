//! Being told to stop.

use std::future::Future;
use std::io::{self, Write as _};
use std::pin::pin;

/// Waits until the process is told to stop: by Ctrl-C, by a request to terminate, by its terminal being closed.
pub(crate) async fn stop_requested() -> io::Result<()> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let mut terminate = signal(SignalKind::terminate())?;
        let mut hangup = signal(SignalKind::hangup())?;
        tokio::select! {
            interrupted = tokio::signal::ctrl_c() => interrupted,
            _ = terminate.recv() => Ok(()),
            _ = hangup.recv() => Ok(()),
        }
    }
    #[cfg(not(unix))]
    tokio::signal::ctrl_c().await
}

/// Carries on although told to stop: between the moment a vendor issues a secret and the moment it is stored, the process
/// holds the only copy. Each request to stop is answered with that reason.
pub(crate) async fn shielded<T>(work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    loop {
        tokio::select! {
            done = &mut work => return done,
            stop = stop_requested() => {
                if stop.is_err() {
                    // Signals cannot be watched on this machine; there is nothing to shield from.
                    return work.await;
                }
                let _ = writeln!(io::stderr(), "A secret is on its way and would be lost; stopping when it is stored.");
            }
        }
    }
}
