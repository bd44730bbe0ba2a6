//! What is written down of a rotation.

use std::fmt;
use std::str::FromStr;

use api_keyring::{IssuedKey, KeyId, Mark, Secret, Timestamp};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer, Serialize, de};
use sha2::{Digest, Sha256};

use crate::{JournalError, Plan};

/// The name of a rotation: `r-` and 16 characters.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct RotationId(String);

impl RotationId {
    pub(super) fn random() -> Self {
        Self(format!("r-{}", Mark::random()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RotationId {
    type Err = InvalidRotationId;

    fn from_str(text: &str) -> Result<Self, InvalidRotationId> {
        match text.strip_prefix("r-").map(str::parse::<Mark>) {
            Some(Ok(_)) => Ok(Self(text.to_owned())),
            _ => Err(InvalidRotationId),
        }
    }
}

impl fmt::Display for RotationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for RotationId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// The error for a text that is not a rotation's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct InvalidRotationId;

impl fmt::Display for InvalidRotationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a rotation's name is r- and 16 characters, 0 to 9 and a to v")
    }
}

impl std::error::Error for InvalidRotationId {}

/// By what a secret is known again, without being told: a hash of it and of the mark that its key was issued under.
///
/// A vendor's secrets are long and random, so that none can be found by trying.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fingerprint(String);

impl Fingerprint {
    pub(super) fn of(mark: &Mark, secret: &Secret) -> Self {
        let hash =
            Sha256::new().chain_update(mark.as_str()).chain_update("\n").chain_update(secret.expose()).finalize();
        Self(hash.iter().take(16).map(|byte| format!("{byte:02x}")).collect())
    }
}

/// A key that the rotation has issued, while its secret may still be wanted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Issued {
    /// The key's id.
    pub key: KeyId,
    /// The mark in its name, which is also the name of its place in the sink.
    pub mark: Mark,
    /// By what its secret is known again.
    pub fingerprint: Fingerprint,
}

impl Issued {
    pub(super) fn of(mark: Mark, issued: &IssuedKey) -> Self {
        let fingerprint = Fingerprint::of(&mark, issued.secret());
        Self { key: issued.id().clone(), mark, fingerprint }
    }
}

/// How far a rotation is. Whatever has a side effect is written down here before it is done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "snake_case")]
#[non_exhaustive]
pub enum State {
    /// Nothing was sent yet.
    Planned,
    /// A key is being issued under this mark; a create may or may not have been sent.
    Issuing {
        /// The mark.
        mark: Mark,
    },
    /// What became of a create is not known, or its secret is lost: whatever exists under the mark has to go. In place: what
    /// became of a regenerate is not known, or its secret is lost, and another one has to be asked for.
    Lost {
        /// The mark.
        mark: Mark,
        /// Why the rotation ends then; `None` where another key is issued.
        abort: Option<String>,
    },
    /// A key was issued, and its secret may or may not be in the sink.
    Issued(Issued),
    /// The secret waits in the sink and was read back, and is being tried.
    Delivered(Issued),
    /// The secret was seen to work, and is being made the sink's current one.
    Verified(Issued),
    /// The new secret is the sink's current one, and the old key still works.
    Promoted {
        /// The new key.
        #[serde(flatten)]
        new: Issued,
        /// Until when the old key is left alone.
        until: DateTime<Utc>,
    },
    /// The old key is being retired. From here on there is no way back.
    Retiring(Issued),
    /// The vendor has taken the old key's end; whether it has come is to be seen.
    Retired {
        /// The new key.
        #[serde(flatten)]
        new: Issued,
        /// How far the old key's end was seen; `None` until it was.
        confirmed: Option<Confirmation>,
    },
    /// The old key is gone, and the new one is in the sink.
    Done {
        /// The new key.
        key: KeyId,
        /// How far the old key's end was seen.
        confirmed: Confirmation,
    },
    /// What was done is being undone.
    Aborting {
        /// The new key, if there is one.
        new: Option<Issued>,
        /// Why.
        why: String,
    },
    /// Everything that was done is undone: the old key is as it was, unless the reason says otherwise.
    Aborted {
        /// Why.
        why: String,
    },
    /// Somebody has to look: the rotation neither goes on nor back by itself.
    #[serde(rename = "stuck")]
    NeedsAttention {
        /// How far it was. Resuming goes on from there.
        was: Box<State>,
        /// What is wrong, and what to do.
        why: String,
    },
}

impl State {
    /// The state in lower case, such as `delivered`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Planned => "planned",
            Self::Issuing { .. } => "issuing",
            Self::Lost { .. } => "lost",
            Self::Issued(_) => "issued",
            Self::Delivered(_) => "delivered",
            Self::Verified(_) => "verified",
            Self::Promoted { .. } => "promoted",
            Self::Retiring(_) => "retiring",
            Self::Retired { .. } => "retired",
            Self::Done { .. } => "done",
            Self::Aborting { .. } => "aborting",
            Self::Aborted { .. } => "aborted",
            Self::NeedsAttention { .. } => "stuck",
        }
    }

    /// The key that takes the old one's place, as far as there is one.
    pub fn new_key(&self) -> Option<&KeyId> {
        match self {
            Self::Done { key, .. } => Some(key),
            state => state.issued().map(|new| &new.key),
        }
    }

    /// What was issued, while it may still be wanted.
    pub(super) fn issued(&self) -> Option<&Issued> {
        match self.underlying() {
            Self::Issued(new) | Self::Delivered(new) | Self::Verified(new) | Self::Retiring(new) => Some(new),
            Self::Promoted { new, .. } | Self::Retired { new, .. } => Some(new),
            Self::Aborting { new, .. } => new.as_ref(),
            _ => None,
        }
    }

    /// Where it goes on from: the state itself, unless it is stuck.
    pub(super) fn underlying(&self) -> &Self {
        match self {
            Self::NeedsAttention { was, .. } => was.underlying(),
            state => state,
        }
    }

    /// Whether nothing is left to do.
    pub fn is_finished(&self) -> bool {
        matches!(self, Self::Done { .. } | Self::Aborted { .. })
    }
}

/// How far a key's end was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Confirmation {
    /// Its secret was tried and is refused.
    SecretRefused,
    /// The vendor has no such key any more, or calls it dead. Its secret was not there to be tried.
    KeyGone,
    /// The vendor said that it was done, still shows the key, and does not tell whether it works.
    Acknowledged,
}

/// A key that the rotation has issued and that has to go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Discard {
    /// The key's id. It stays on record when the key is gone.
    pub key: KeyId,
    /// The mark that it was issued under.
    pub mark: Mark,
    /// How far its end was seen; `None` until it was.
    pub confirmed: Option<Confirmation>,
}

/// How much a vendor shows that a key was used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Usage {
    /// How many requests were made with it, where the vendor counts them.
    pub count: Option<u64>,
    /// When the last one was made, where the vendor tells.
    pub last: Option<Timestamp>,
}

impl Usage {
    /// Whether the key was used at all, as far as the vendor tells.
    pub(super) fn is_any(&self) -> bool {
        self.count.is_some_and(|count| count > 0) || self.last.is_some()
    }

    /// Whether the key was used since then.
    pub(super) fn is_after(&self, before: &Self) -> bool {
        let is_later = match (&self.last, &before.last) {
            (Some(now), Some(before)) => match (now.utc(), before.utc()) {
                (Some(now), Some(before)) => now > before,
                _ => now != before,
            },
            (now, _) => now.is_some(),
        };
        self.count > before.count || is_later
    }
}

/// What the vendor has shown of the use of both keys, since the new one was put in the old one's place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Evidence {
    /// The use of the new key by the rotation itself. Whatever comes later is that of others.
    pub new_key: Usage,
    /// Whether others were seen to use the new key.
    pub new_is_used: bool,
    /// The use of the old key; `None` where it is gone.
    pub old: Option<Usage>,
    /// Since when the old key was not seen to be used, by the clock of whoever looked.
    pub old_since: DateTime<Utc>,
}

/// All that is written down of one rotation. It holds no secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Record {
    /// The rotation's name.
    pub id: RotationId,
    /// How often it was written, this time included.
    pub version: u64,
    /// When it was last written.
    pub time: DateTime<Utc>,
    /// What was planned.
    pub plan: Plan,
    /// How far it is.
    pub state: State,
    /// Every mark that a create was, or may have been, sent with. In place, there is one for each regenerate.
    pub marks: Vec<Mark>,
    /// Keys that were issued and have to go, or are gone.
    pub discards: Vec<Discard>,
    /// Whether the vendor was asked, or may have been, to have the old key expire at the end of the grace.
    pub old_expires: bool,
    /// What was seen of the use of both keys, where the plan asks for it.
    pub evidence: Option<Evidence>,
    /// Why the old key may go without such evidence, or its end without being seen, where somebody has said so.
    pub waived: Option<String>,
    /// Whether the rotation is undone although the sink holds somebody else's secret, which stays there.
    pub leaves_sink: bool,
}

impl Record {
    pub(super) fn new(plan: Plan, now: DateTime<Utc>) -> Self {
        Self {
            id: RotationId::random(),
            version: 0,
            time: now,
            plan,
            state: State::Planned,
            marks: Vec::new(),
            discards: Vec::new(),
            old_expires: false,
            evidence: None,
            waived: None,
            leaves_sink: false,
        }
    }

    /// What the rotation has to itself until it is finished, each as a text that is the same for whoever else wants it: the keys
    /// and the sinks.
    pub fn claims(&self) -> Vec<String> {
        let Plan { vendor, scope, old, sinks, .. } = &self.plan;
        let keys = [Some(&old.id), self.state.new_key()].into_iter().flatten();
        let keys = keys.map(|key| format!("key {vendor}/{scope}/{key}"));
        keys.chain(sinks.iter().map(|sink| format!("sink {sink}"))).collect()
    }

    /// Whether a plan's key is this rotation's, which is not finished: it rotates the key, or has issued it.
    pub fn is_at_work_on(&self, plan: &Plan) -> bool {
        let is_same_vendor = (&self.plan.vendor, &self.plan.scope) == (&plan.vendor, &plan.scope);
        let has_key = self.plan.old.id == plan.old.id || self.state.new_key() == Some(&plan.old.id);
        !self.state.is_finished() && is_same_vendor && has_key
    }

    /// Why this rotation cannot be begun where there is another one, finished or not.
    pub fn conflict_with(&self, other: &Self) -> Option<JournalError> {
        match &other.state {
            State::Aborted { .. } => None,
            // It has another secret, and is the same key.
            State::Done { key, .. } if *key == other.plan.old.id => None,
            State::Done { .. } => {
                self.plan.rotates_same_key(&other.plan).then(|| JournalError::Replaced(other.id.clone()))
            }
            _ if other.is_at_work_on(&self.plan) => Some(JournalError::UnderWay(other.id.clone())),
            _ => {
                let theirs = other.claims();
                let shared = self.claims().into_iter().find(|claim| theirs.contains(claim))?;
                Some(match shared.strip_prefix("sink ") {
                    Some(sink) => JournalError::SinkInUse { sink: sink.to_owned(), by: other.id.clone() },
                    None => JournalError::UnderWay(other.id.clone()),
                })
            }
        }
    }

    /// Until when there is nothing to do, while the rotation waits. It may wait longer where the plan asks for evidence of use.
    pub fn waits_until(&self) -> Option<DateTime<Utc>> {
        match &self.state {
            State::Promoted { until, .. } => Some(*until),
            _ => None,
        }
    }
}
