//! Reads an answer's body up to a limit.

use bytes::Bytes;
use reqwest::Response;

use super::undecoded::UndecodedReason;
use crate::transport::DEFAULT_MAX_RESPONSE_BYTES;
use crate::wiped::WipedBytes;
use crate::{Credential, Transport};

/// The limit on the body of a failure, in bytes. A failure says why in a few words, and its decoded values may be a
/// hundred times as large.
const MAX_FAILURE_BYTES: usize = 256 * 1024;

/// What limits the reading of an answer. The hooks store it in the answer's extensions.
#[derive(Clone)]
pub(super) struct ReadLimits {
    max_bytes: usize,
    credential: Credential,
}

impl From<&Transport> for ReadLimits {
    fn from(transport: &Transport) -> Self {
        Self { max_bytes: transport.max_response_bytes(), credential: transport.credential().clone() }
    }
}

/// Returns the credential that the answer's request sent, if the hooks ran.
pub(super) fn credential_of(response: &Response) -> Option<Credential> {
    response.extensions().get::<ReadLimits>().map(|limits| limits.credential.clone())
}

/// The bytes of a body.
pub(super) enum BodyBytes {
    /// The only part that arrived, in the HTTP client's own memory. A copy would be one more to wipe.
    Single(Bytes),
    Copied(WipedBytes),
}

impl BodyBytes {
    pub(super) fn as_slice(&self) -> &[u8] {
        match self {
            Self::Single(bytes) => bytes,
            Self::Copied(bytes) => bytes,
        }
    }

    pub(super) fn into_wiped(self) -> WipedBytes {
        match self {
            Self::Single(bytes) => bytes.to_vec().into(),
            Self::Copied(bytes) => bytes,
        }
    }
}

/// The part of a body that was read, and the reason if it is not the whole body.
pub(super) struct Body {
    pub(super) bytes: BodyBytes,
    pub(super) incomplete: Option<UndecodedReason>,
}

/// Reads a body. It keeps what arrived before a failure, because that may hold a secret that no other answer shows.
///
/// If the answer is a failure and repeats the credential, `read` redacts the credential.
pub(super) async fn read(response: &mut Response) -> Body {
    let limits = response.extensions().get::<ReadLimits>().cloned();
    let max_bytes = limits.as_ref().map_or(DEFAULT_MAX_RESPONSE_BYTES, |limits| limits.max_bytes);
    let max_bytes = if response.status().is_success() { max_bytes } else { max_bytes.min(MAX_FAILURE_BYTES) };
    // A server may declare a false length.
    let declared = response.content_length().and_then(|length| usize::try_from(length).ok()).unwrap_or(0);
    let capacity = declared.min(max_bytes).min(DEFAULT_MAX_RESPONSE_BYTES);
    let mut parts = Parts::new(capacity, max_bytes);
    let incomplete = loop {
        match response.chunk().await {
            Ok(Some(chunk)) if parts.len() + chunk.len() > max_bytes => {
                // The part below the limit may hold a secret that no other answer shows.
                parts.push(chunk.slice(..max_bytes - parts.len()));
                break Some(UndecodedReason::TooLarge { max_bytes });
            }
            Ok(Some(chunk)) => parts.push(chunk),
            Ok(None) => break None,
            Err(error) => {
                break Some(UndecodedReason::Interrupted { timeout: error.is_timeout() });
            }
        }
    };
    let mut bytes = parts.bytes;
    if let Some(limits) = limits.filter(|_| !response.status().is_success())
        && let Some(redacted) = limits.credential.redact_in_body(bytes.as_slice())
    {
        bytes = BodyBytes::Copied(redacted.into());
    }
    Body { bytes, incomplete }
}

/// The parts of a body that have arrived.
struct Parts {
    bytes: BodyBytes,
    /// The room for a body of more than one part.
    capacity: usize,
    max_bytes: usize,
}

impl Parts {
    fn new(capacity: usize, max_bytes: usize) -> Self {
        Self { bytes: BodyBytes::Single(Bytes::new()), capacity, max_bytes }
    }

    fn len(&self) -> usize {
        self.bytes.as_slice().len()
    }

    fn push(&mut self, part: Bytes) {
        match &mut self.bytes {
            BodyBytes::Single(first) if first.is_empty() => *first = part,
            BodyBytes::Single(first) => {
                let mut bytes = WipedBytes::with_capacity(self.capacity.max(first.len()));
                bytes.extend_from_slice(first);
                append(&mut bytes, &part, self.max_bytes);
                self.bytes = BodyBytes::Copied(bytes);
            }
            BodyBytes::Copied(bytes) => append(bytes, &part, self.max_bytes),
        }
    }
}

/// Appends to a body. If the body has to grow, it grows in large steps, because each step leaves a gap in the memory. It
/// wipes what it leaves there.
fn append(bytes: &mut WipedBytes, chunk: &[u8], max_bytes: usize) {
    let needed = bytes.len() + chunk.len();
    if needed > bytes.capacity() {
        let capacity = bytes.capacity().saturating_mul(8).min(max_bytes).max(needed);
        let mut larger = WipedBytes::with_capacity(capacity);
        larger.extend_from_slice(bytes);
        *bytes = larger;
    }
    bytes.extend_from_slice(chunk);
}
