//! Reading an answer's body, up to a limit.

use reqwest::Response;
use zeroize::Zeroizing;

use super::error::UndecodedReason;
use crate::transport::DEFAULT_MAX_RESPONSE_BYTES;
use crate::{Credential, Transport};

/// How an answer is to be read. Travels with the answer, in its extensions.
#[derive(Clone)]
pub(super) struct ReadLimits {
    max_bytes: usize,
    credential: Credential,
}

impl ReadLimits {
    pub(super) fn of(transport: &Transport) -> Self {
        Self { max_bytes: transport.max_response_bytes(), credential: transport.credential().clone() }
    }
}

/// A body as far as it could be read, and why that is not all of it.
pub(super) struct Body {
    pub(super) bytes: Zeroizing<Vec<u8>>,
    pub(super) cut: Option<UndecodedReason>,
}

/// Reads a body. What arrived before a failure is kept, since it may hold a secret that is shown once.
///
/// In a failure's body the credential is redacted, should the server repeat it there.
pub(super) async fn read(response: &mut Response) -> Body {
    let limits = response.extensions().get::<ReadLimits>().cloned();
    let max_bytes = limits.as_ref().map_or(DEFAULT_MAX_RESPONSE_BYTES, |limits| limits.max_bytes);
    // The declared length is not believed at once: it may be a lie.
    let declared = response.content_length().and_then(|length| usize::try_from(length).ok()).unwrap_or(0);
    let capacity = declared.min(max_bytes).min(64 * 1024);
    let mut bytes = Zeroizing::new(Vec::with_capacity(capacity));
    let cut = loop {
        match response.chunk().await {
            Ok(Some(chunk)) if bytes.len() + chunk.len() > max_bytes => {
                // The rest is not read; what fits may hold a secret that is shown once.
                let room = max_bytes - bytes.len();
                bytes.extend_from_slice(&chunk[..room]);
                break Some(UndecodedReason::TooLarge { max_bytes });
            }
            Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
            Ok(None) => break None,
            Err(error) => {
                break Some(UndecodedReason::Interrupted { timeout: error.is_timeout() });
            }
        }
    };
    if let Some(limits) = limits.filter(|_| !response.status().is_success())
        && let Some(scrubbed) = limits.credential.scrub(&bytes)
    {
        bytes = Zeroizing::new(scrubbed);
    }
    Body { bytes, cut }
}
