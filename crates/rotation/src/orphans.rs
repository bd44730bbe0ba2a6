//! Orphans: keys that a rotation issued and nobody needs.

use api_keyring::{ApiKey, KeyId, ListKeys, Mark, Provider, ProviderExt as _, Secret};
use chrono::{DateTime, Utc};
use futures_util::TryStreamExt as _;

use super::{Journal, JournalError, RotateError, RotationId, Sink, SinkError, State};

/// A key with a mark that no rotation needs.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Orphan {
    /// The key.
    pub key: ApiKey,
    /// The mark in its name.
    pub mark: Mark,
    /// The rotation that issued the key and ended without it. `None` if the journal does not know that rotation, or if
    /// there is a [`twin`](Self::twin).
    ///
    /// An unknown rotation may be in another journal. Or the key's id has changed since its rotation recorded it,
    /// because somebody issued a new secret for the key.
    pub rotation: Option<RotationId>,
    /// Another key with the same mark: the one that replaced the old key. Only one of the two is needed.
    pub twin: Option<KeyId>,
}

impl Orphan {
    /// Returns whether a sink holds the key's secret: in a slot of its mark, or as the current secret. Returns `None`
    /// if the vendor shows no masked secret with which to tell whether the current secret is this key's.
    ///
    /// # Errors
    ///
    /// If the sink cannot be read, or holds anything but one secret: the key's secret may be a part of that.
    pub async fn is_in(&self, sink: &dyn Sink) -> Result<Option<bool>, SinkError> {
        if sink.pending(&self.mark).await?.is_some() || sink.previous(&self.mark).await?.is_some() {
            return Ok(Some(true));
        }
        let held = sink.look().await?;
        if let Some(problem) = held.problem_at("the destination") {
            return Err(SinkError::new(problem));
        }
        let current = held.secret;
        // Without a masked secret, the current secret cannot be identified. An empty sink then proves nothing either.
        let none = Secret::new("");
        Ok(self.key.shows_secret(current.as_ref().unwrap_or(&none)))
    }
}

/// Returns the orphans of a provider: keys that may still work and have a mark in their names.
///
/// A key is not an orphan if the journal shows that a rotation replaced another key with it, or that an unfinished
/// rotation issued it. Id and mark together identify such a key, because a vendor may give the id of a deleted key to
/// another one.
///
/// A rotation leaves an orphan behind if the vendor's list hides the key for longer than the rotation waits. You can
/// delete an orphan whose rotation is known. Look at it once more right before that, because its id may have gone to
/// another key. If its rotation is unknown, the key may be in use: [look for its secret](Orphan::is_in) in every sink
/// first.
///
/// The function lists the keys and may read single ones ([`Provider::get`]). This machine's clock decides which keys
/// have expired; [`find_orphans_at`] takes another time.
///
/// # Errors
///
/// The errors of [`ProviderExt::list`](api_keyring::ProviderExt::list), of [`Provider::get`] and of the journal.
pub async fn find_orphans(provider: &dyn Provider, journal: &dyn Journal) -> Result<Vec<Orphan>, RotateError> {
    find_orphans_at(provider, journal, Utc::now()).await
}

/// Returns the orphans of a provider as [`find_orphans`] does. `now` decides which keys have expired.
///
/// # Errors
///
/// Those of [`find_orphans`].
pub async fn find_orphans_at(
    provider: &dyn Provider,
    journal: &dyn Journal,
    now: DateTime<Utc>,
) -> Result<Vec<Orphan>, RotateError> {
    let mut found = Vec::new();
    let mut keys = provider.list(ListKeys::new());
    while let Some(key) = keys.try_next().await? {
        let key = provider.with_readable_name(key).await?;
        if key.status_at(now).is_dead() {
            continue;
        }
        let Some(mark) = key.name().and_then(Mark::from_name) else { continue };
        let record = match journal.find_by_mark(&mark).await {
            // Nobody can tell what the rotation is doing, so the key may be in use.
            Err(JournalError::Unreadable(_)) => continue,
            found => found?,
        };
        let (rotation, twin) = match &record {
            None => (None, None),
            Some(record) => match &record.state {
                // The last mark is the one of the key that replaced the old one.
                State::Done { key: new, .. } if record.marks.last() == Some(&mark) => {
                    if new == key.id() {
                        continue;
                    }
                    match provider.find(new).await?.filter(|twin| mark.is_on(twin) && !twin.status_at(now).is_dead()) {
                        Some(_) => (None, Some(new.clone())),
                        // The key has another id since its secret was replaced.
                        None => continue,
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
