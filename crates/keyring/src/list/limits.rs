//! Limits on a list as a whole.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::{Clock, SystemClock};

const DEFAULT_BYTES: u64 = 256 * 1024 * 1024;
const DEFAULT_TIME: Duration = Duration::from_secs(60 * 60);

/// Limits on a list as a whole, so that a service whose list never ends does not hold its reader for ever.
///
/// A list that reaches a limit ends in an error that names the limit. The keys before it are delivered. The limits apply
/// to the list of each provider on its own. A limit on each answer is separate:
/// [`TransportBuilder::max_response_bytes`](crate::TransportBuilder::max_response_bytes).
///
/// | limit | default |
/// |---|---|
/// | [`bytes`](Self::bytes) | 256 MiB, which is a million keys of usual size |
/// | [`time`](Self::time) | 1 hour |
/// | [`keys`](Self::keys) | none |
///
/// ```
/// use api_keyring::{ListKeys, ListLimits};
///
/// let which = ListKeys::new().limits(ListLimits::new().keys(10_000));
/// ```
#[derive(Clone)]
#[must_use]
pub struct ListLimits {
    pub(crate) bytes: u64,
    pub(crate) keys: u64,
    pub(crate) time: Duration,
    pub(crate) clock: Arc<dyn Clock>,
}

impl ListLimits {
    /// Creates the default limits.
    pub fn new() -> Self {
        Self { bytes: DEFAULT_BYTES, keys: u64::MAX, time: DEFAULT_TIME, clock: Arc::new(SystemClock) }
    }

    /// Limits the size of all pages together: how much JSON the service may send for the rows. The list ends after the
    /// page that reaches the limit.
    pub fn bytes(mut self, bytes: u64) -> Self {
        self.bytes = bytes;
        self
    }

    /// Limits the number of keys.
    pub fn keys(mut self, keys: u64) -> Self {
        self.keys = keys;
        self
    }

    /// Limits how long the list waits for the service. The time between two reads of the stream does not count. A
    /// request that is under way when the time ends is not cut short; the transport limits the time of each request.
    pub fn time(mut self, time: Duration) -> Self {
        self.time = time;
        self
    }

    /// Sets the clock that measures the time. The default is the machine's clock.
    pub fn clock(mut self, clock: impl Clock + 'static) -> Self {
        self.clock = Arc::new(clock);
        self
    }
}

impl Default for ListLimits {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for ListLimits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ListLimits")
            .field("bytes", &self.bytes)
            .field("keys", &self.keys)
            .field("time", &self.time)
            .finish_non_exhaustive()
    }
}
