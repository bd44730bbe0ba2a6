//! The state of both services as JSON, which another emulator can start from.

use std::collections::HashSet;
use std::error::Error;
use std::fmt;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use serde::{Deserialize, Serialize};

use crate::monad::OrganizationState;
use crate::secret;
use crate::spartera::CompanyState;

/// The state of both services: the company and the organization, their keys, and every secret.
///
/// [`Emulator::state`](crate::Emulator::state) returns it, and
/// [`EmulatorBuilder::state`](crate::EmulatorBuilder::state) starts from it. It omits the records of requests and
/// changes, and the effects of faults, such as a secret that lingers.
///
/// You can write the JSON by hand. A key needs its `id` and its role, and on Monad its `name` and `expires_at`. All
/// other fields are optional, and the emulator chooses the missing values. Times are RFC 3339.
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
/// // Another emulator continues from this state.
/// let kept = emulator.into_state().await.to_json();
/// let again = Emulator::builder().state(State::from_json(&kept)?).start().await?;
/// assert_eq!(again.spartera().company_id(), "acme");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Default)]
pub struct State(pub(crate) Services);

/// The services of a [`State`]. A state contains only services that have passed the checks.
#[derive(Clone, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Services {
    pub(crate) spartera: CompanyState,
    pub(crate) monad: OrganizationState,
}

impl State {
    /// Reads a state that [`State::to_json`] or a person has written.
    ///
    /// # Errors
    ///
    /// Returns an error if `text` is not JSON, has an unknown field, or lacks a required one. It also returns an error
    /// if the state contradicts itself: for example, two keys have the same id, or the signing key has not signed a
    /// token.
    pub fn from_json(text: &str) -> Result<Self, ParseStateError> {
        let services: Services = serde_json::from_str(text).map_err(|error| ParseStateError(describe(&error)))?;
        services.spartera.check().map_err(|problem| ParseStateError(format!("spartera: {problem}")))?;
        services.monad.check().map_err(|problem| ParseStateError(format!("monad: {problem}")))?;
        Ok(Self(services))
    }

    /// Returns a hash of the state, and 0 for the empty state.
    pub(crate) fn number(&self) -> u64 {
        let text = self.to_json();
        if text == Self(Services::default()).to_json() {
            return 0;
        }
        let mut hasher = DefaultHasher::new();
        text.hash(&mut hasher);
        hasher.finish()
    }

    /// Returns the state as JSON, **including secrets and Monad's signing key**.
    pub fn to_json(&self) -> String {
        // Writing plain structures of text and numbers cannot fail.
        serde_json::to_string_pretty(&self.0).unwrap_or_default()
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("State(..)")
    }
}

/// The error for a text that is not a [`State`].
///
/// The message names the wrong field or key, and its place. It contains no secret.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ParseStateError(String);

impl fmt::Display for ParseStateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the text is not a state of the emulator: {}", self.0)
    }
}

impl Error for ParseStateError {}

/// Returns the place and the class of a mistake.
///
/// It leaves out the parser's own message, which may quote a value and therefore a secret.
fn describe(error: &serde_json::Error) -> String {
    let class = match error.classify() {
        serde_json::error::Category::Data => "a field is unknown, missing or of the wrong type",
        serde_json::error::Category::Eof => "the text ends too early",
        serde_json::error::Category::Syntax | serde_json::error::Category::Io => "the text is not JSON",
    };
    format!("line {}, column {}: {class}", error.line(), error.column())
}

/// Returns a message about a key. It masks the id, which may be a misplaced secret.
pub(crate) fn key_problem(id: &str, problem: &str) -> String {
    format!("key {}: {problem}", secret::redact(id))
}

/// Refuses an id that no path can contain, and an id that two keys share.
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

/// Refuses an id that no path can contain.
pub(crate) fn check_id(id: &str) -> Result<(), String> {
    let fits =
        (1..=255).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
    if fits {
        Ok(())
    } else {
        Err(format!("{:?} is not an id: use 1 to 255 letters, digits, _ and -", secret::redact(id)))
    }
}

/// The greatest number that a state may contain.
///
/// Counting on from it cannot overflow, and JSON readers in every language represent it exactly.
pub(crate) const MAX_NUMBER: u64 = 1 << 53;

/// Refuses an administrator's key that is not one of the keys.
pub(crate) fn check_admin<'a>(admin: Option<&str>, mut ids: impl Iterator<Item = &'a str>) -> Result<(), String> {
    match admin {
        Some(admin) if !ids.any(|id| id == admin) => Err("admin_key_id is not the id of a key".to_owned()),
        _ => Ok(()),
    }
}
