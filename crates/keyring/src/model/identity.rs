//! What identifies a key. A vendor may give the id of a deleted key to the next one.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{ApiKey, KeyId, Secret};

/// The facts that tell a key from another one that got its id later.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct KeyIdentity {
    /// The key's id.
    pub id: KeyId,
    /// When the key was created, as the vendor shows it.
    pub created_at: Option<String>,
    /// The key's name.
    pub name: Option<String>,
    /// The key's role.
    pub role: Option<String>,
    /// The key's masked secret.
    pub masked_secret: Option<String>,
}

/// Whether two keys with the same id are the same key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sameness {
    /// They are the same key.
    Same,
    /// They are two keys: the vendor gave the id to another one.
    Another,
    /// Nothing shows whether they are the same, for example because only the name differs.
    Unclear,
}

impl KeyIdentity {
    /// Compares this identity with a key that has the same id.
    ///
    /// A different creation time or masked secret shows another key. If the creation time and the masked secret are both
    /// known and agree, the key is the same, even with another name or role. Otherwise, it is the same only if
    /// everything that both sides show agrees.
    pub fn compare(&self, key: &ApiKey) -> Sameness {
        let shown = key.identity();
        let created = agree(self.created_at.as_ref(), shown.created_at.as_ref());
        let masked = agree(self.masked_secret.as_ref(), shown.masked_secret.as_ref());
        let rest = [agree(self.name.as_ref(), shown.name.as_ref()), agree(self.role.as_ref(), shown.role.as_ref())];
        if self.id != shown.id || created == Some(false) || masked == Some(false) {
            Sameness::Another
        } else if (created, masked) == (Some(true), Some(true)) || !rest.contains(&Some(false)) {
            Sameness::Same
        } else {
            Sameness::Unclear
        }
    }
}

/// Returns whether two values agree; `None` if one of them is unknown.
fn agree<T: PartialEq>(ours: Option<&T>, theirs: Option<&T>) -> Option<bool> {
    Some(ours? == theirs?)
}

impl ApiKey {
    /// Returns what identifies this key beyond its id.
    pub fn identity(&self) -> KeyIdentity {
        let text = |text: Option<&str>| text.map(str::to_owned);
        // The vendor's spelling of a time may change between two answers.
        let created = self.created_at().map(|time| time.utc().map_or_else(|| time.to_string(), |utc| utc.to_rfc3339()));
        KeyIdentity {
            id: self.id().clone(),
            created_at: created,
            name: text(self.name()),
            role: text(self.role()),
            masked_secret: text(self.masked_secret()),
        }
    }

    /// Returns whether the masked secret that the vendor shows can be this secret's; `None` if the vendor shows none, or
    /// too little of it.
    ///
    /// This compares only the end of the secret, so a match by chance is unlikely, but possible.
    pub fn shows_secret(&self, secret: &Secret) -> Option<bool> {
        let masked = self.masked_secret()?;
        let end = masked.rsplit(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default();
        // A vendor may show only the beginning of a secret. Such an end is not preceded by hidden characters.
        let follows_hidden =
            masked.strip_suffix(end).is_some_and(|rest| rest.ends_with(['*', '\u{2022}', '\u{2026}', '.']));
        (follows_hidden && end.len() >= 4).then(|| secret.expose().trim_end().ends_with(end))
    }
}

/// Whether a key is the credential that the provider itself authenticates with.
///
/// It serializes as `true`, `false` or `null`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Option<bool>", into = "Option<bool>")]
pub enum OwnCredential {
    /// The key is that credential.
    Yes,
    /// The key is another one.
    No,
    /// Nothing shows whether it is.
    Unknown,
}

impl From<Option<bool>> for OwnCredential {
    fn from(is_own: Option<bool>) -> Self {
        match is_own {
            Some(true) => Self::Yes,
            Some(false) => Self::No,
            None => Self::Unknown,
        }
    }
}

impl From<OwnCredential> for Option<bool> {
    fn from(own: OwnCredential) -> Self {
        match own {
            OwnCredential::Yes => Some(true),
            OwnCredential::No => Some(false),
            OwnCredential::Unknown => None,
        }
    }
}

/// Returns whether a secret is a JWT whose claims name this key.
pub(crate) fn jwt_names(secret: &Secret, key: &KeyId) -> bool {
    let mut parts = secret.expose().split('.');
    let (Some(_), Some(claims), Some(_), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
        return false;
    };
    let Ok(claims) = URL_SAFE_NO_PAD.decode(claims) else { return false };
    let Ok(claims) = serde_json::from_slice::<Map<String, Value>>(&claims) else {
        return false;
    };
    claims.values().any(|claim| claim.as_str() == Some(key.as_str()))
}
