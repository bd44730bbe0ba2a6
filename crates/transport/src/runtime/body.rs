//! Reads an answer's body up to a limit.

use reqwest::Response;
use zeroize::Zeroizing;

use super::undecoded::UndecodedReason;
use crate::transport::DEFAULT_MAX_RESPONSE_BYTES;
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

/// The part of a body that was read, and the reason if it is not the whole body.
pub(super) struct Body {
    pub(super) bytes: Zeroizing<Vec<u8>>,
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
    let mut bytes = Zeroizing::new(Vec::with_capacity(capacity));
    let incomplete = loop {
        match response.chunk().await {
            Ok(Some(chunk)) if bytes.len() + chunk.len() > max_bytes => {
                // The part below the limit may hold a secret that no other answer shows.
                let room = max_bytes - bytes.len();
                append(&mut bytes, &chunk[..room], max_bytes);
                break Some(UndecodedReason::TooLarge { max_bytes });
            }
            Ok(Some(chunk)) => append(&mut bytes, &chunk, max_bytes),
            Ok(None) => break None,
            Err(error) => {
                break Some(UndecodedReason::Interrupted { timeout: error.is_timeout() });
            }
        }
    };
    if let Some(limits) = limits.filter(|_| !response.status().is_success())
        && let Some(redacted) = limits.credential.redact_in_body(&bytes)
    {
        bytes = Zeroizing::new(redacted);
    }
    Body { bytes, incomplete }
}

/// Appends to a body. If the body has to grow, it grows in large steps, because each step leaves a gap in the memory. It
/// wipes what it leaves there.
fn append(bytes: &mut Zeroizing<Vec<u8>>, chunk: &[u8], max_bytes: usize) {
    let needed = bytes.len() + chunk.len();
    if needed > bytes.capacity() {
        let capacity = bytes.capacity().saturating_mul(8).min(max_bytes).max(needed);
        let mut larger = Zeroizing::new(Vec::with_capacity(capacity));
        larger.extend_from_slice(bytes);
        *bytes = larger;
    }
    bytes.extend_from_slice(chunk);
}
