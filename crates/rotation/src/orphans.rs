//! Finding keys that a rotation has left behind.

use api_keyring::{ApiKey, KeyId, ListKeys, Mark, Provider, ProviderExt as _};
use futures_util::TryStreamExt as _;

use super::plan::is_alive;
use super::{Journal, RotateError, RotationId, Sink, SinkError, State};
use crate::plan::masked_secret::MaskedSecret;

/// A key with a mark that is no rotation's any more.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Orphan {
    /// The key.
    pub key: ApiKey,
    /// The mark in its name.
    pub mark: Mark,
    /// The rotation that has issued it and ended without it. `None` where the journal does not tell: another one may, and so
    /// may whoever has given a key a new secret, by which it has got another id.
    pub rotation: Option<RotationId>,
    /// Another key with the same mark, which is the one that a rotation has put in the old one's place: one of the two is nobody's.
    pub twin: Option<KeyId>,
}

impl Orphan {
    /// Whether a sink holds the key's secret: in the place of its mark, or as the current one as far as a masked secret of the
    /// vendor's tells. `None` where it does not tell.
    ///
    /// # Errors
    ///
    /// When the sink cannot be read.
    pub async fn is_in(&self, sink: &dyn Sink) -> Result<Option<bool>, SinkError> {
        if sink.pending(&self.mark).await?.is_some() || sink.previous(&self.mark).await?.is_some() {
            return Ok(Some(true));
        }
        let current = sink.current().await?;
        // An empty sink proves nothing where it could not be told whose secret there is.
        let Some(masked) = self.key.masked_secret().and_then(MaskedSecret::parse) else { return Ok(None) };
        Ok(Some(current.is_some_and(|current| masked.matches(&current))))
    }
}

/// The keys that carry a mark in their names, may still work, and that no rotation in the journal has put in another key's place or
/// is still at work on.
///
/// A list that lags behind for longer than a rotation waits can hide a key from it. What was found can be
/// [deleted](Provider::delete), where its rotation is known; a key of an unknown one may be in use, and is to be
/// [looked for](Orphan::is_in) wherever secrets are kept.
///
/// # Errors
///
/// Those of the list and of the journal.
pub async fn find_orphans(provider: &dyn Provider, journal: &dyn Journal) -> Result<Vec<Orphan>, RotateError> {
    let mut found = Vec::new();
    let mut keys = provider.list(ListKeys::new());
    while let Some(key) = keys.try_next().await? {
        if key.status().is_dead() {
            continue;
        }
        let Some(mark) = key.name().and_then(Mark::of_name) else { continue };
        let record = journal.of_mark(&mark).await?;
        let (rotation, twin) = match &record {
            None => (None, None),
            Some(record) => match &record.state {
                State::Done { key: new, .. } if new == key.id() => continue,
                // The mark of the key that was put in the old one's place.
                State::Done { key: new, .. } if record.marks.last() == Some(&mark) => {
                    match is_alive(provider, new).await? {
                        true => (None, Some(new.clone())),
                        false => continue,
                    }
                }
                state if state.is_finished() => (Some(record.id.clone()), None),
                _ => continue,
            },
        };
        found.push(Orphan { key, mark, rotation, twin });
    }
    Ok(found)
}
