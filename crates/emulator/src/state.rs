//! What both services keep, as JSON: to begin with it, and to go on with it another time.

use std::collections::HashSet;
use std::error::Error;
use std::fmt;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use serde::{Deserialize, Serialize};

use crate::monad::OrganizationState;
use crate::secret;
use crate::spartera::CompanyState;

/// What both services keep: the company and the organization, their keys, and every secret.
///
/// [`Emulator::state`](crate::Emulator::state) takes it, [`EmulatorBuilder::state`](crate::EmulatorBuilder::state) begins
/// with it. What is not in it: the record of requests and changes, and what faults have left behind, such as a secret
/// that lingers.
///
/// As JSON it can be written by hand. All is optional but a key's `id`, its role, and on Monad its `name` and
/// `expires_at`; what is left out is made up. Times are RFC 3339.
///
/// ```
/// # use std::error::Error;
/// use api_keyring_emulator::{Emulator, State};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn Error>> {
/// let state = State::from_json(
///     r#"{
///       "spartera": {
///         "company_id": "acme",
///         "admin_key_id": "1",
///         "keys": [
///           {"id": "1", "name": "root", "role_id": 1, "secret": "sk_live_of_the_administrator"},
///           {"id": "2", "name": "old", "role_id": 3, "expires_at": "2020-01-01T00:00:00Z"}
///         ]
///       },
///       "monad": {
///         "keys": [{"id": "ci", "name": "ci", "role_id": "role-reader", "expires_at": "2100-01-01T00:00:00Z"}]
///       }
///     }"#,
/// )?;
/// let emulator = Emulator::builder().state(state).start().await?;
/// assert_eq!(emulator.spartera().admin_key(), "sk_live_of_the_administrator");
///
/// // Another one takes over from here.
/// let kept = emulator.into_state().await.to_json();
/// let again = Emulator::builder().state(State::from_json(&kept)?).start().await?;
/// assert_eq!(again.spartera().company_id(), "acme");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Default)]
pub struct State(pub(crate) Services);

/// The services of a [`State`], which are in it only once they have been checked.
#[derive(Clone, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Services {
    pub(crate) spartera: CompanyState,
    pub(crate) monad: OrganizationState,
}

impl State {
    /// Reads what [`State::to_json`] or a person has written.
    ///
    /// # Errors
    ///
    /// When it is not JSON, has a field that is not known, lacks one that is needed, or contradicts itself: two keys of
    /// one id, say, or a token that the signing key has not signed.
    pub fn from_json(text: &str) -> Result<Self, ParseStateError> {
        let services: Services = serde_json::from_str(text).map_err(|error| ParseStateError(describe(&error)))?;
        services.spartera.check().map_err(|problem| ParseStateError(format!("spartera: {problem}")))?;
        services.monad.check().map_err(|problem| ParseStateError(format!("monad: {problem}")))?;
        Ok(Self(services))
    }

    /// A number of its own for every state; 0 for the empty one.
    pub(crate) fn number(&self) -> u64 {
        let text = self.to_json();
        if text == Self(Services::default()).to_json() {
            return 0;
        }
        let mut hasher = DefaultHasher::new();
        text.hash(&mut hasher);
        hasher.finish()
    }

    /// Everything as JSON, **secrets and Monad's signing key included**.
    pub fn to_json(&self) -> String {
        // Plain structures of text and numbers: writing them cannot fail.
        serde_json::to_string_pretty(&self.0).unwrap_or_default()
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("State(..)")
    }
}

/// A text is no [`State`].
///
/// The message tells which field or key is wrong, and where; it holds no secret.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ParseStateError(String);

impl fmt::Display for ParseStateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not a state of the emulator: {}", self.0)
    }
}

impl Error for ParseStateError {}

/// The place and the class of a mistake. What the parser says itself may repeat a value, and so a secret.
fn describe(error: &serde_json::Error) -> String {
    let class = match error.classify() {
        serde_json::error::Category::Data => "a field is unknown, missing or of the wrong type",
        serde_json::error::Category::Eof => "it ends too early",
        serde_json::error::Category::Syntax | serde_json::error::Category::Io => "it is not JSON",
    };
    format!("line {}, column {}: {class}", error.line(), error.column())
}

/// A key in a message. Its id may be a secret that stands in the wrong place.
pub(crate) fn key_problem(id: &str, problem: &str) -> String {
    format!("key {}: {problem}", secret::redact(id))
}

/// Refuses an id that no path could name, and one that is there twice.
pub(crate) fn check_ids<'a>(ids: impl Iterator<Item = &'a str>) -> Result<(), String> {
    let mut seen = HashSet::new();
    for id in ids {
        check_id(id)?;
        if !seen.insert(id) {
            return Err(format!("two keys have the id {}", secret::redact(id)));
        }
    }
    Ok(())
}

/// Refuses an id that no path could name.
pub(crate) fn check_id(id: &str) -> Result<(), String> {
    let fits =
        (1..=255).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
    if fits { Ok(()) } else { Err(format!("{:?} is no id: 1 to 255 letters, digits, _ and -", secret::redact(id))) }
}

/// The greatest number that is taken: what is counted on from it stays far from the end of all numbers, and JSON in any
/// language reads it as it is.
pub(crate) const MAX_NUMBER: u64 = 1 << 53;

/// Refuses an administrator's key that is not among the keys.
pub(crate) fn check_admin<'a>(admin: Option<&str>, mut ids: impl Iterator<Item = &'a str>) -> Result<(), String> {
    match admin {
        Some(admin) if !ids.any(|id| id == admin) => Err("admin_key_id is not the id of a key".to_owned()),
        _ => Ok(()),
    }
}
