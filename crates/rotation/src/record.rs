//! The record of a rotation, as the journal keeps it.

use std::fmt;
use std::str::FromStr;

use api_keyring::{IssuedKey, KeyId, Mark, Secret, Timestamp};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::{Digest, Sha256};

use crate::host::split_host;
use crate::{Holdings, JournalError, Plan, SinkContent};

/// The id of a rotation: `r-` and 16 characters.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct RotationId(String);

impl RotationId {
    pub(super) fn random() -> Self {
        Self(format!("r-{}", Mark::random()))
    }

    /// Returns the id as text.
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
        f.write_str("a rotation's id is r- and 16 characters, 0 to 9 and a to v")
    }
}

impl std::error::Error for InvalidRotationId {}

/// A hash of a secret and of the mark under which its key was issued. A rotation recognizes the secret by it.
///
/// Vendors' secrets are long and random, so nobody can find one from its hash by trying.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fingerprint(String);

impl Fingerprint {
    pub(super) fn new(mark: &Mark, secret: &Secret) -> Self {
        // The hasher stays in one place and wipes itself there. Moving it would leave copies behind.
        let mut hasher = Sha256::new();
        for part in [mark.as_str(), "\n", secret.expose()] {
            hasher.update(part);
        }
        let hash = hasher.finalize_reset();
        Self(hash.iter().take(16).map(|byte| format!("{byte:02x}")).collect())
    }
}

/// A key that the rotation issued, as long as the rotation may still need its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Issued {
    /// The key's id.
    pub key: KeyId,
    /// The mark in its name, which also names its slots in the sink.
    pub mark: Mark,
    /// Recognizes its secret.
    pub fingerprint: Fingerprint,
}

impl Issued {
    pub(super) fn new(mark: Mark, issued: &IssuedKey) -> Self {
        let fingerprint = Fingerprint::new(&mark, issued.secret());
        Self { key: issued.id().clone(), mark, fingerprint }
    }

    /// Returns whether a secret is this key's.
    pub(super) fn has_secret(&self, secret: &Secret) -> bool {
        Fingerprint::new(&self.mark, secret) == self.fingerprint
    }
}

/// How far a rotation has got. The journal records each state before the rotation causes that state's side effects.
///
/// [`TRANSITIONS`](crate::TRANSITIONS) lists which state may follow which, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "snake_case")]
#[non_exhaustive]
pub enum State {
    /// No request is under way. The next step requests a key, or in place a new secret.
    Planned,
    /// The rotation is requesting a key, or in place a new secret, under this mark. It may or may not have sent the
    /// request.
    Issuing {
        /// The mark.
        mark: Mark,
    },
    /// Either it is unknown whether a create took effect, or the new secret is lost. The rotation discards any key
    /// under the mark.
    ///
    /// In place, the same holds for a regenerate, and the rotation has to request another secret.
    Lost {
        /// The mark.
        mark: Mark,
        /// Why the rotation ends after that; `None` if it issues another key.
        abort: Option<String>,
    },
    /// The vendor issued a key. Its secret may or may not be in the sink.
    Issued(Issued),
    /// The secret is in its pending slot and was read back. The rotation tries it next.
    Delivered(Issued),
    /// The secret works. The rotation makes it the sink's current one next.
    Verified(Issued),
    /// The new secret is the sink's current one, and the old key still works.
    Promoted {
        /// The new key.
        #[serde(flatten)]
        new: Issued,
        /// When the grace ends. The rotation leaves the old key alone until then.
        until: DateTime<Utc>,
    },
    /// The rotation retires the old key. From here on, it can be aborted only if it needs attention and the old key
    /// still works, or if the sink is left as it is.
    Retiring(Issued),
    /// The vendor accepted the retirement of the old key. The rotation checks that the old secret no longer works.
    Retired {
        /// The new key.
        #[serde(flatten)]
        new: Issued,
        /// How the rotation confirmed that the old key no longer works; `None` until then.
        confirmed: Option<Confirmation>,
    },
    /// The old key is gone, and the new one is in the sink.
    Done {
        /// The new key.
        key: KeyId,
        /// How the rotation confirmed that the old key no longer works.
        confirmed: Confirmation,
    },
    /// The rotation is being aborted.
    Aborting {
        /// The new key, if there is one.
        new: Option<Issued>,
        /// Why.
        why: String,
    },
    /// The rotation is aborted: the old key is as it was, unless the reason says otherwise.
    Aborted {
        /// Why.
        why: String,
    },
    /// The rotation waits for a person. The journal stores this state as `stuck`.
    #[serde(rename = "stuck")]
    NeedsAttention {
        /// The state before. Resuming continues from it.
        was: Box<State>,
        /// What is wrong, and what to do.
        why: String,
    },
}

/// A [`State`] without its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs, reason = "each is documented at the state of the same name")]
#[non_exhaustive]
pub enum StateKind {
    Planned,
    Issuing,
    Lost,
    Issued,
    Delivered,
    Verified,
    Promoted,
    Retiring,
    Retired,
    Done,
    Aborting,
    Aborted,
    NeedsAttention,
}

impl StateKind {
    /// Returns the name that the journal stores, in lower case. [`NeedsAttention`](Self::NeedsAttention) is `stuck`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Planned => "planned",
            Self::Issuing => "issuing",
            Self::Lost => "lost",
            Self::Issued => "issued",
            Self::Delivered => "delivered",
            Self::Verified => "verified",
            Self::Promoted => "promoted",
            Self::Retiring => "retiring",
            Self::Retired => "retired",
            Self::Done => "done",
            Self::Aborting => "aborting",
            Self::Aborted => "aborted",
            Self::NeedsAttention => "stuck",
        }
    }

    /// Returns the name for people: [`NeedsAttention`](Self::NeedsAttention) is `needs attention`.
    pub fn label(self) -> &'static str {
        match self {
            Self::NeedsAttention => "needs attention",
            kind => kind.as_str(),
        }
    }
}

/// Writes the [label](StateKind::label).
impl fmt::Display for StateKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

impl State {
    /// Returns the state's name in the journal, such as `delivered`.
    pub fn name(&self) -> &'static str {
        self.kind().as_str()
    }

    /// Returns which state this is.
    pub fn kind(&self) -> StateKind {
        match self {
            Self::Planned => StateKind::Planned,
            Self::Issuing { .. } => StateKind::Issuing,
            Self::Lost { .. } => StateKind::Lost,
            Self::Issued(_) => StateKind::Issued,
            Self::Delivered(_) => StateKind::Delivered,
            Self::Verified(_) => StateKind::Verified,
            Self::Promoted { .. } => StateKind::Promoted,
            Self::Retiring(_) => StateKind::Retiring,
            Self::Retired { .. } => StateKind::Retired,
            Self::Done { .. } => StateKind::Done,
            Self::Aborting { .. } => StateKind::Aborting,
            Self::Aborted { .. } => StateKind::Aborted,
            Self::NeedsAttention { .. } => StateKind::NeedsAttention,
        }
    }

    /// Returns the key that replaces the old one, once there is one.
    pub fn new_key(&self) -> Option<&KeyId> {
        match self {
            Self::Done { key, .. } => Some(key),
            state => state.issued().map(|new| &new.key),
        }
    }

    /// Returns the issued key, as long as the rotation may still need its secret.
    pub(super) fn issued(&self) -> Option<&Issued> {
        match self.underlying() {
            Self::Issued(new) | Self::Delivered(new) | Self::Verified(new) | Self::Retiring(new) => Some(new),
            Self::Promoted { new, .. } | Self::Retired { new, .. } => Some(new),
            Self::Aborting { new, .. } => new.as_ref(),
            _ => None,
        }
    }

    /// Returns the state that the rotation continues from: the one before it needed attention, or the state itself.
    pub(super) fn underlying(&self) -> &Self {
        match self {
            Self::NeedsAttention { was, .. } => was.underlying(),
            state => state,
        }
    }

    /// Returns whether a person, or the rotation itself, has decided to abort it.
    pub(super) fn is_aborted(&self) -> bool {
        matches!(self.underlying(), Self::Aborting { .. } | Self::Aborted { .. })
    }

    /// Returns whether the rotation is done or aborted.
    pub fn is_finished(&self) -> bool {
        matches!(self, Self::Done { .. } | Self::Aborted { .. })
    }
}

/// How a rotation confirmed that a key no longer works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Confirmation {
    /// The vendor refused its secret.
    SecretRefused,
    /// The vendor no longer has the key, or shows it as dead. The rotation did not have its secret to try.
    KeyGone,
    /// The vendor accepted the request, but nothing shows whether the secret still works; or a person waived that
    /// evidence.
    Acknowledged,
}

/// A key that the rotation issued and has to delete.
///
/// Only id and mark together identify it: a vendor may give the id of a deleted key to the next one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Discard {
    /// The key's id. It stays on record after the key is gone.
    pub key: KeyId,
    /// The mark that it was issued under.
    pub mark: Mark,
    /// How the rotation confirmed that the key no longer works; `None` until then.
    pub confirmed: Option<Confirmation>,
    /// Whether the key must exist until another one is issued, so that the other one does not get this id.
    #[serde(default, skip_serializing_if = "is_false")]
    pub holds_id: bool,
}

impl Discard {
    pub(super) fn new(key: KeyId, mark: Mark) -> Self {
        Self { key, mark, confirmed: None, holds_id: false }
    }

    /// Returns whether this is the key under this id that was issued under this mark.
    pub(super) fn is(&self, key: &KeyId, mark: &Mark) -> bool {
        self.key == *key && self.mark == *mark
    }
}

fn is_false(value: &bool) -> bool {
    !value
}

/// The usage of a key, as far as the vendor shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Usage {
    /// The number of requests made with the key, if the vendor counts them.
    pub count: Option<u64>,
    /// The time of the last request, if the vendor shows it.
    pub last: Option<Timestamp>,
}

impl Usage {
    /// Returns whether the vendor shows any use of the key.
    pub(super) fn is_any(&self) -> bool {
        self.count.is_some_and(|count| count > 0) || self.last.is_some()
    }

    /// Returns whether the key was used since `before`.
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

/// The usage of both keys since the new one was promoted, as far as the vendor shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Evidence {
    /// The usage of the new key that the rotation caused itself. All later use is by others.
    pub new_key: Usage,
    /// Whether others were seen to use the new key.
    pub new_is_used: bool,
    /// The usage of the old key; `None` if the key is gone.
    pub old: Option<Usage>,
    /// Since when the vendor has shown no further use of the old key, by the clock of the process that checked.
    pub old_since: DateTime<Utc>,
}

/// The format in which this program stores a record. Its number grows with each change that an earlier program must not
/// ignore.
///
/// A record without a number has the first format. Every field that is newer has a default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RecordFormat;

impl RecordFormat {
    const NEWEST: u64 = 2;
}

impl Serialize for RecordFormat {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(Self::NEWEST)
    }
}

impl<'de> Deserialize<'de> for RecordFormat {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match u64::deserialize(deserializer)? {
            ..=Self::NEWEST => Ok(Self),
            newer => Err(de::Error::custom(format!("a newer version of this program wrote it, in format {newer}"))),
        }
    }
}

/// Everything that the journal keeps of one rotation. It holds no secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Record {
    /// The format in which the record is stored.
    #[serde(default)]
    pub(crate) format: RecordFormat,
    /// The rotation's id.
    pub id: RotationId,
    /// The number of times that the record was changed.
    pub version: u64,
    /// When the record was last written.
    pub time: DateTime<Utc>,
    /// The plan.
    pub plan: Plan,
    /// How far the rotation has got.
    pub state: State,
    /// Every mark under which the rotation sent a create, or may have sent one. In place, each regenerate has one.
    pub marks: Vec<Mark>,
    /// The mark of the next request for a secret. There is one if the last request under it was refused or not sent, or
    /// if it was the last of many in place whose answers are lost. A rotator that has the lease may send the next request
    /// without recording it first. If that rotator dies, its lease is not released, and the next rotator assumes that the
    /// request was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reserved: Option<Mark>,
    /// The issued keys that the rotation discards or has discarded.
    pub discards: Vec<Discard>,
    /// Whether the rotation set the old key's expiry to the end of the grace, or may have.
    pub old_expires: bool,
    /// Whether the vendor refused to set that expiry. The rotation does not ask again.
    #[serde(default, skip_serializing_if = "is_false")]
    pub expiry_refused: bool,
    /// The evidence of use so far, if the plan asks for it.
    pub evidence: Option<Evidence>,
    /// Why a person waived the evidence of use, or the evidence that the old key no longer works.
    pub waived: Option<String>,
    /// Whether the abort leaves the sink as it is, because it holds somebody else's secret.
    pub leaves_sink: bool,
    /// What the sinks held when a person adopted them, after the rotation began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adopted: Option<Holdings>,
}

impl Record {
    pub(super) fn new(plan: Plan, now: DateTime<Utc>) -> Self {
        Self {
            format: RecordFormat,
            id: RotationId::random(),
            version: 0,
            time: now,
            plan,
            state: State::Planned,
            marks: Vec::new(),
            reserved: None,
            discards: Vec::new(),
            old_expires: false,
            expiry_refused: false,
            evidence: None,
            waived: None,
            leaves_sink: false,
            adopted: None,
        }
    }

    /// Adds a mark under which a request may have been sent.
    pub(super) fn add_mark(&mut self, mark: &Mark) {
        if !self.marks.contains(mark) {
            self.marks.push(mark.clone());
        }
    }

    /// Returns what the sinks must hold until the new secret is there; `None` if an earlier version began the rotation.
    pub(super) fn holdings(&self) -> Option<&Holdings> {
        self.adopted.as_ref().or(self.plan.holdings.as_ref())
    }

    /// Returns what the sinks held before the rotation. Only if that was the old key's secret is that secret in the
    /// previous slots after the promotion.
    pub(super) fn in_sink(&self) -> SinkContent {
        match &self.adopted {
            None => self.plan.in_sink,
            Some(adopted) if adopted.sinks.iter().all(|sink| sink.secret.is_none()) => SinkContent::Nothing,
            Some(_) => SinkContent::Other,
        }
    }

    /// Returns what this rotation claims until it is finished: its keys and its sinks, each as a unique text.
    ///
    /// Two rotations that claim the same sink must not run at once. Two rotations that claim the same key's id may, if
    /// the vendor has given the id to another key since: [`conflict_with`](Self::conflict_with) decides.
    pub fn claims(&self) -> Vec<String> {
        let Plan { vendor, scope, old, sinks, .. } = &self.plan;
        let keys = [Some(&old.id), self.state.new_key()].into_iter().flatten();
        let keys = keys.map(|key| format!("key {vendor}/{scope}/{key}"));
        // Earlier versions recorded no host, so the name without the host is claimed, too.
        let addresses = sinks.iter().map(|sink| split_host(sink)).filter(|(host, _)| host.is_some());
        let addresses = addresses.map(|(_, address)| address);
        let sinks = sinks.iter().cloned().chain(addresses);
        keys.chain(sinks.map(|sink| format!("sink {sink}"))).collect()
    }

    /// Returns whether this rotation is unfinished, and either rotates the plan's key or has issued it.
    ///
    /// If the vendor has given the id of this rotation's old key to another key, the plan of that key rotates another
    /// key.
    pub fn is_at_work_on(&self, plan: &Plan) -> bool {
        let is_same_vendor = (&self.plan.vendor, &self.plan.scope) == (&plan.vendor, &plan.scope);
        let has_key = self.plan.rotates_same_key(plan) || self.state.new_key() == Some(&plan.old.id);
        !self.state.is_finished() && is_same_vendor && has_key
    }

    /// Returns why this rotation cannot begin beside another one, finished or not; `None` if it can.
    pub fn conflict_with(&self, other: &Self) -> Option<JournalError> {
        match &other.state {
            State::Aborted { .. } => None,
            // In place: the key is the same, and may be rotated again.
            State::Done { key, .. } if *key == other.plan.old.id => None,
            State::Done { .. } => {
                self.plan.rotates_same_key(&other.plan).then(|| JournalError::Replaced(other.id.clone()))
            }
            _ if other.is_at_work_on(&self.plan) => Some(JournalError::UnderWay(other.id.clone())),
            _ => {
                // A key that this rotation issued a moment ago may have the id of a key that is gone.
                let sink = self.plan.shared_sink(&other.plan)?.to_owned();
                Some(JournalError::SinkInUse { sink, by: other.id.clone() })
            }
        }
    }

    /// Returns when the grace ends, while the rotation waits for that.
    ///
    /// The rotation may wait longer if the plan asks for evidence of use.
    pub fn waits_until(&self) -> Option<DateTime<Utc>> {
        match &self.state {
            State::Promoted { until, .. } => Some(*until),
            _ => None,
        }
    }
}
