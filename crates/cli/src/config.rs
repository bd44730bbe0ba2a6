//! Configures providers from the environment, which is the only configuration.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;

use api_keyring::{
    ApiKey, Error, Keyring, KeyringBuilder, Monad, NamedProvider, Provider, ProviderExt as _, Retry, SharedSecret,
    Spartera, printable,
};
use api_keyring_rotation::{OwnCredential, own_credential};

use crate::failure::{Failure, Result};
use crate::output;

/// Returns the value of an environment variable.
pub(crate) type Environment<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// A provider, and what the environment says about it.
#[derive(Clone, Debug)]
pub(crate) struct Account<P> {
    pub(crate) provider: P,
    /// The secret that the provider authenticates with. The provider shares it: when a rotation replaces it, the
    /// provider uses the new one.
    pub(crate) own: SharedSecret,
    /// How often, and for how long, to repeat what is safe to repeat.
    pub(crate) retry: Retry,
}

impl<P: Provider> Account<P> {
    /// Returns whether the provider authenticates with this key, as far as anything shows it.
    pub(crate) async fn is_own_credential(&self, key: &ApiKey) -> Result<OwnCredential, Error> {
        own_credential(&self.provider, key, Some(&self.own.get())).await
    }
}

/// Configures a provider, with its own secret. Returns `None` if the environment has none of its variables.
type Configure = fn(Environment<'_>) -> Result<Option<(Arc<dyn Provider>, SharedSecret)>>;

/// Each provider by its name, and the variables that may hold its credential.
const PROVIDERS: [(&str, Configure, &str); 2] =
    [("monad", monad, "MONAD_API_KEY or MONAD_BEARER_TOKEN"), ("spartera", spartera, "SPARTERA_API_KEY")];

/// Returns the name of the variable that holds the credential of this provider.
pub(crate) fn credential_variable(provider: &str) -> &'static str {
    let named = PROVIDERS.iter().find(|(name, ..)| *name == provider);
    named.map_or("the variable that holds it", |(.., variable)| variable)
}

/// Returns the providers that the environment of this process configures, as [`keyring`] describes.
pub(crate) fn from_environment(only: Option<&str>) -> Result<Keyring> {
    keyring(&|variable| std::env::var_os(variable), only).map(|(keyring, _)| keyring)
}

/// Returns the accounts that the environment of this process configures, as [`keyring`] describes.
pub(crate) fn accounts(only: Option<&str>) -> Result<Vec<Account<NamedProvider>>> {
    let environment: Environment<'_> = &|variable| std::env::var_os(variable);
    let (keyring, secrets) = keyring(environment, only)?;
    let retry = retry(environment)?;
    let account = |(name, own): (&'static str, SharedSecret)| {
        Ok(Account { provider: keyring.provider(name)?, own, retry: retry.clone() })
    };
    secrets.into_iter().map(account).collect()
}

/// Returns the account of the provider with that name.
pub(crate) fn account(name: &str) -> Result<Account<NamedProvider>> {
    let missing = || Failure::Usage(format!("the provider {name} is not configured"));
    accounts(Some(name))?.pop().ok_or_else(missing)
}

/// All configured providers, and the secret of each one's credential by the provider's name.
type KeyringWithSecrets = (Keyring, Vec<(&'static str, SharedSecret)>);

/// Returns all configured providers, and the secrets of their credentials.
///
/// The providers retry calls that fail temporarily if a repetition does no harm, and report each retry on standard
/// error.
///
/// A provider is not configured if none of its variables is set. If only some are set, that is an error, except if
/// `only` names another provider.
pub(crate) fn keyring(environment: Environment<'_>, only: Option<&str>) -> Result<KeyringWithSecrets> {
    let wanted = PROVIDERS.iter().filter(|(name, ..)| only.is_none_or(|only| only == *name));
    let retry = retry(environment)?;
    let mut keyring: KeyringBuilder = Keyring::builder();
    let mut secrets = Vec::new();
    for (name, configure, _) in wanted {
        if let Some((provider, secret)) = configure(environment)? {
            secrets.push((*name, secret));
            keyring = keyring.add(*name, provider.retrying(retry.clone()));
        }
    }
    match only {
        _ if !secrets.is_empty() => Ok((keyring.build()?, secrets)),
        Some(name) if !PROVIDERS.iter().any(|(known, ..)| *known == name) => {
            let names: Vec<_> = PROVIDERS.iter().map(|(name, ..)| *name).collect();
            Err(Failure::Usage(format!("unknown provider {name:?}: use {}", names.join(" or "))))
        }
        Some(name) => Err(Failure::Usage(format!(
            "the provider {name} is not configured: set its environment variables, which `api-keyring --help` lists"
        ))),
        None => Err(Failure::Usage(
            "no provider is configured: set the environment variables that `api-keyring --help` lists".to_owned(),
        )),
    }
}

/// Returns the path of the journal, for commands without `--journal`.
pub(crate) fn journal() -> Result<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(path) = set("API_KEYRING_JOURNAL") {
        return Ok(path);
    }
    let state = set("XDG_STATE_HOME").filter(|path| path.is_absolute());
    let state = state.or_else(|| set("LOCALAPPDATA")).or_else(|| Some(std::env::home_dir()?.join(".local/state")));
    match state.filter(|path| path.is_absolute()) {
        Some(state) => Ok(state.join("api-keyring/rotations.sqlite")),
        None => Err(Failure::Usage(
            "cannot find a directory for the journal of rotations: name a file with --journal or API_KEYRING_JOURNAL"
                .to_owned(),
        )),
    }
}

fn retry(environment: Environment<'_>) -> Result<Retry> {
    let retry = Retry::new().observe(|retrying| output::notice(&printable(&retrying.to_string())));
    let variable = "API_KEYRING_ATTEMPTS";
    match text(environment, variable)?.map(|attempts| attempts.parse()) {
        None => Ok(retry),
        Some(Ok(attempts @ 1..=100)) => Ok(retry.max_attempts(attempts)),
        Some(_) => Err(Failure::Usage(format!("{variable} must be a number from 1 to 100"))),
    }
}

fn spartera(environment: Environment<'_>) -> Result<Option<(Arc<dyn Provider>, SharedSecret)>> {
    let (key, company) = ("SPARTERA_API_KEY", "SPARTERA_COMPANY_ID");
    let secret = text(environment, key)?.map(SharedSecret::new);
    let (secret, company) = match (secret, text(environment, company)?) {
        (None, None) => return Ok(None),
        (Some(secret), Some(company)) => (secret, company),
        (None, _) => return Err(missing(key, company)),
        (_, None) => return Err(missing(company, key)),
    };
    let mut builder = Spartera::builder().company_id(company).api_key_from(secret.clone());
    if let Some(url) = text(environment, "SPARTERA_BASE_URL")? {
        builder = builder.base_url(url);
    }
    Ok(Some((Arc::new(builder.build()?), secret)))
}

fn monad(environment: Environment<'_>) -> Result<Option<(Arc<dyn Provider>, SharedSecret)>> {
    let (key, bearer, organization) = ("MONAD_API_KEY", "MONAD_BEARER_TOKEN", "MONAD_ORGANIZATION_ID");
    let builder = Monad::builder();
    let secret = |name| Ok::<_, Failure>(text(environment, name)?.map(SharedSecret::new));
    let builder = match (secret(key)?, secret(bearer)?) {
        (Some(_), Some(_)) => {
            return Err(Failure::Usage(format!(
                "both {key} and {bearer} are set: unset the one that you do not want to use"
            )));
        }
        (Some(token), None) => Some((builder.api_key_from(token.clone()), token)),
        (None, Some(jwt)) => Some((builder.bearer_from(jwt.clone()), jwt)),
        (None, None) => None,
    };
    let ((builder, secret), id) = match (builder, text(environment, organization)?) {
        (None, None) => return Ok(None),
        (Some(builder), Some(id)) => (builder, id),
        (None, _) => return Err(missing(&format!("{key} or {bearer}"), organization)),
        (_, None) => return Err(missing(organization, &format!("{key} or {bearer}"))),
    };
    let mut builder = builder.organization_id(id);
    if let Some(url) = text(environment, "MONAD_BASE_URL")? {
        builder = builder.base_url(url);
    }
    Ok(Some((Arc::new(builder.build()?), secret)))
}

/// Returns the value of a variable. An empty variable counts as not set.
fn text(environment: Environment<'_>, name: &str) -> Result<Option<String>> {
    let value = environment(name).filter(|value| !value.is_empty());
    value
        .map(|value| value.into_string().map_err(|_| Failure::Usage(format!("{name} must be valid UTF-8"))))
        .transpose()
}

fn missing(variable: &str, present: &str) -> Failure {
    Failure::Usage(format!("{present} is set, but {variable} is not: the provider needs both"))
}

#[cfg(test)]
#[allow(clippy::expect_used)]
mod tests {
    use super::*;

    fn configured(variables: &[(&str, &str)], only: Option<&str>) -> std::result::Result<Vec<String>, String> {
        let environment = |name: &str| {
            variables.iter().find(|(variable, _)| *variable == name).map(|(_, value)| OsString::from(value))
        };
        match keyring(&environment, only) {
            Ok((keyring, _)) => Ok(keyring.names().map(str::to_owned).collect()),
            Err(failure) => Err(failure.to_string()),
        }
    }

    const SPARTERA: [(&str, &str); 2] = [("SPARTERA_API_KEY", "canary"), ("SPARTERA_COMPANY_ID", "acme")];
    const MONAD: [(&str, &str); 2] = [("MONAD_BEARER_TOKEN", "canary"), ("MONAD_ORGANIZATION_ID", "acme")];

    #[test]
    fn a_provider_needs_all_of_its_variables() {
        let both = [SPARTERA, MONAD].concat();
        assert_eq!(configured(&SPARTERA, None), Ok(vec!["spartera".to_owned()]));
        assert_eq!(configured(&MONAD, None), Ok(vec!["monad".to_owned()]));
        assert_eq!(configured(&both, None), Ok(vec!["monad".to_owned(), "spartera".to_owned()]));
        assert_eq!(configured(&both, Some("spartera")), Ok(vec!["spartera".to_owned()]));
    }

    #[test]
    fn a_wrong_configuration_is_named_without_its_secret() {
        for (variables, only, named) in [
            (&[][..], None, "no provider is configured"),
            (&SPARTERA, Some("monad"), "the provider monad is not configured"),
            (&SPARTERA, Some("siem"), "unknown provider \"siem\": use monad or spartera"),
            (&SPARTERA[..1], None, "SPARTERA_COMPANY_ID is not"),
            (&SPARTERA[1..], None, "SPARTERA_API_KEY is not"),
            (&MONAD[..1], None, "MONAD_ORGANIZATION_ID is not"),
            (&MONAD[1..], None, "MONAD_API_KEY or MONAD_BEARER_TOKEN is not"),
            (&[MONAD[0], MONAD[1], ("MONAD_API_KEY", "canary")], None, "both MONAD_API_KEY and MONAD_BEARER_TOKEN"),
            (&[SPARTERA[0], ("SPARTERA_COMPANY_ID", "../x")], None, "company id"),
            (&[("SPARTERA_API_KEY", "canary\n"), SPARTERA[1]], None, "credential"),
            (&[SPARTERA[0], SPARTERA[1], ("API_KEYRING_ATTEMPTS", "0")], None, "API_KEYRING_ATTEMPTS"),
            (&[SPARTERA[0], SPARTERA[1], ("API_KEYRING_ATTEMPTS", "many")], None, "API_KEYRING_ATTEMPTS"),
            (&[SPARTERA[0], SPARTERA[1], ("SPARTERA_BASE_URL", "http://example.com")], None, "plain http"),
            (&[SPARTERA[0], SPARTERA[1], ("SPARTERA_BASE_URL", "https://u:canary@example.com")], None, "user name"),
        ] {
            let refusal = configured(variables, only).expect_err(named);
            assert!(refusal.contains(named), "{refusal}");
            assert!(!refusal.contains("canary"), "{refusal}");
        }
        // Another provider that is only half configured does no harm.
        let half = [SPARTERA[0], SPARTERA[1], MONAD[0]];
        assert_eq!(configured(&half, Some("spartera")), Ok(vec!["spartera".to_owned()]));
        assert!(configured(&half, None).is_err());
    }
}
