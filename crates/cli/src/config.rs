//! Configures providers from the environment, which is the only configuration.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;

use api_keyring::{
    ApiKey, Error, Keyring, KeyringBuilder, Monad, NamedProvider, Provider, ProviderExt as _, Retry, Secret,
    SharedSecret, Spartera,
};
use api_keyring_rotation::{Host, OwnCredential, own_credential};

use crate::failure::{Failure, Result};
use crate::{credential_file, output, secrets};

/// A function that returns the value of an environment variable.
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

/// What the environment may say of a provider.
struct ProviderVariables {
    /// The name of the provider, which is its vendor's.
    name: &'static str,
    configure: Configure,
    /// The variables that may hold its credential. Each of them with `_FILE` at its end may name a file that holds it.
    credentials: &'static [&'static str],
}

/// Every provider. A new vendor is named here, and nowhere else in this crate but in the help.
const PROVIDERS: [ProviderVariables; 2] = [
    ProviderVariables { name: "monad", configure: monad, credentials: &[MONAD_API_KEY, MONAD_BEARER_TOKEN] },
    ProviderVariables { name: "spartera", configure: spartera, credentials: &[SPARTERA_API_KEY] },
];

const MONAD_API_KEY: &str = "MONAD_API_KEY";
const MONAD_BEARER_TOKEN: &str = "MONAD_BEARER_TOKEN";
const SPARTERA_API_KEY: &str = "SPARTERA_API_KEY";

/// Returns the names of the variables that may hold the credential of this provider.
pub(crate) fn credential_variable(provider: &str) -> String {
    let named = PROVIDERS.iter().find(|known| known.name == provider);
    named.map_or("the variable that holds it".to_owned(), |known| known.credentials.join(" or "))
}

/// Returns all credentials that the environment of this process holds, as far as they can be read.
pub(crate) fn credentials() -> Vec<Secret> {
    let variables = PROVIDERS.iter().flat_map(|provider| provider.credentials);
    let secret = |variable: &&str| Some(credential(&|name| std::env::var_os(name), variable).ok()??.secret);
    variables.filter_map(secret).collect()
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
    let missing = || Failure::Usage(format!("the provider {name} is not configured: set its environment variables"));
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
    let wanted = PROVIDERS.iter().filter(|provider| only.is_none_or(|only| only == provider.name));
    let retry = retry(environment)?;
    let mut keyring: KeyringBuilder = Keyring::builder();
    let mut secrets = Vec::new();
    for ProviderVariables { name, configure, .. } in wanted {
        if let Some((provider, secret)) = configure(environment)? {
            secrets.push((*name, secret));
            keyring = keyring.add(*name, provider.retrying(retry.clone()));
        }
    }
    match only {
        _ if !secrets.is_empty() => Ok((keyring.build()?, secrets)),
        Some(name) if !PROVIDERS.iter().any(|known| known.name == name) => {
            let names: Vec<_> = PROVIDERS.iter().map(|known| known.name).collect();
            Err(Failure::Usage(format!("unknown provider {:?}: use {}", secrets::redact(name), names.join(" or "))))
        }
        Some(name) => Err(Failure::Usage(format!(
            "the provider {name} is not configured: set its environment variables, which `api-keyring --help` lists"
        ))),
        None => Err(Failure::Usage(
            "no provider is configured: set the environment variables that `api-keyring --help` lists".to_owned(),
        )),
    }
}

/// Refuses a name of this machine that no destination's name can hold. The library would use the machine's id instead.
pub(crate) fn check_host() -> Result {
    let variable = "API_KEYRING_HOST";
    match text(&|name| std::env::var_os(name), variable)? {
        Some(name) if Host::named(&name).is_none() => {
            Err(Failure::Usage(format!("{variable} must be 1 to 64 letters, digits, hyphens and full stops")))
        }
        _ => Ok(()),
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
            "cannot find a folder for the journal of rotations: name a file with --journal or API_KEYRING_JOURNAL"
                .to_owned(),
        )),
    }
}

/// Returns the folder of that journal.
pub(crate) fn journal_folder() -> Result<PathBuf> {
    let mut path = journal()?;
    path.pop();
    Ok(path)
}

fn retry(environment: Environment<'_>) -> Result<Retry> {
    let retry = Retry::new().observe(|retrying| output::notice(&retrying.to_string()));
    let variable = "API_KEYRING_ATTEMPTS";
    match text(environment, variable)?.map(|attempts| attempts.parse()) {
        None => Ok(retry),
        Some(Ok(attempts @ 1..=100)) => Ok(retry.max_attempts(attempts)),
        Some(_) => Err(Failure::Usage(format!("{variable} must be a number from 1 to 100"))),
    }
}

fn spartera(environment: Environment<'_>) -> Result<Option<(Arc<dyn Provider>, SharedSecret)>> {
    let (key, company) = (SPARTERA_API_KEY, "SPARTERA_COMPANY_ID");
    let (found, company) = match (credential(environment, key)?, text(environment, company)?) {
        (None, None) => return Ok(None),
        (Some(found), Some(company)) => (found, company),
        (None, _) => return Err(missing(key, company)),
        (Some(found), None) => return Err(missing(company, &found.variable)),
    };
    let secret = found.use_it();
    let mut builder = Spartera::builder().company_id(company).api_key_from(secret.clone());
    if let Some(url) = text(environment, "SPARTERA_BASE_URL")? {
        builder = builder.base_url(url);
    }
    Ok(Some((Arc::new(builder.build()?), secret)))
}

fn monad(environment: Environment<'_>) -> Result<Option<(Arc<dyn Provider>, SharedSecret)>> {
    let organization = "MONAD_ORGANIZATION_ID";
    let found = match (credential(environment, MONAD_API_KEY)?, credential(environment, MONAD_BEARER_TOKEN)?) {
        (Some(key), Some(bearer)) => return Err(ambiguous(&key.variable, &bearer.variable)),
        (Some(key), None) => Some((key, false)),
        (None, bearer) => bearer.map(|bearer| (bearer, true)),
    };
    let ((found, is_bearer), id) = match (found, text(environment, organization)?) {
        (None, None) => return Ok(None),
        (Some(found), Some(id)) => (found, id),
        (None, _) => return Err(missing(&credential_variable("monad"), organization)),
        (Some((found, _)), None) => return Err(missing(organization, &found.variable)),
    };
    let (secret, builder) = (found.use_it(), Monad::builder().organization_id(id));
    let mut builder =
        if is_bearer { builder.bearer_from(secret.clone()) } else { builder.api_key_from(secret.clone()) };
    if let Some(url) = text(environment, "MONAD_BASE_URL")? {
        builder = builder.base_url(url);
    }
    Ok(Some((Arc::new(builder.build()?), secret)))
}

/// A credential, and the variable that holds it or names its file.
struct FoundCredential {
    variable: String,
    secret: Secret,
    /// What the user should know about its file.
    note: Option<String>,
}

impl FoundCredential {
    /// Returns the secret for use, and tells the user what is odd about its file.
    fn use_it(self) -> SharedSecret {
        if let Some(note) = &self.note {
            output::notice(note);
        }
        SharedSecret::new(self.secret)
    }
}

/// Returns the credential that a variable holds, or the file that the variable with `_FILE` at its end names.
fn credential(environment: Environment<'_>, variable: &str) -> Result<Option<FoundCredential>> {
    let file_variable = format!("{variable}_FILE");
    let path = environment(&file_variable).filter(|path| !path.is_empty()).map(PathBuf::from);
    match (text(environment, variable)?.map(Secret::new), path) {
        (None, None) => Ok(None),
        (Some(_), Some(_)) => Err(ambiguous(variable, &file_variable)),
        (Some(secret), None) => Ok(Some(FoundCredential { variable: variable.to_owned(), secret, note: None })),
        (None, Some(path)) => {
            let name = path.display();
            let read = credential_file::read(&path).map_err(|why| {
                Failure::Usage(format!("cannot use the file {name}, which {file_variable} names: {why}"))
            })?;
            let note = read
                .is_public
                .then(|| format!("note: every user of this machine can read {name}, which {file_variable} names"));
            Ok(Some(FoundCredential { variable: file_variable, secret: read.secret, note }))
        }
    }
}

fn ambiguous(one: &str, other: &str) -> Failure {
    Failure::Usage(format!("both {one} and {other} are set: unset the one that you do not want to use"))
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
    use api_keyring::VENDORS;

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
        let file = ("SPARTERA_API_KEY_FILE", "/nonexistent/canary-file");
        let refusal = configured(&[file, SPARTERA[0], SPARTERA[1]], None).expect_err("both");
        assert!(refusal.contains("both SPARTERA_API_KEY and SPARTERA_API_KEY_FILE are set"), "{refusal}");
        let refusal = configured(&[file, SPARTERA[1]], None).expect_err("no file");
        assert!(refusal.contains("/nonexistent/canary-file, which SPARTERA_API_KEY_FILE names"), "{refusal}");
        // Another provider that is only half configured does no harm.
        let half = [SPARTERA[0], SPARTERA[1], MONAD[0]];
        assert_eq!(configured(&half, Some("spartera")), Ok(vec!["spartera".to_owned()]));
        assert!(configured(&half, None).is_err());
    }

    /// A `command:` destination hides a vendor's variables from its program, and knows them by the vendor's name.
    #[test]
    fn the_variables_of_a_provider_begin_with_the_name_of_its_vendor() {
        for provider in &PROVIDERS {
            assert!(VENDORS.contains(&provider.name), "{}", provider.name);
            let start = format!("{}_", provider.name.to_uppercase());
            assert!(!provider.credentials.is_empty());
            for variable in provider.credentials {
                assert!(variable.starts_with(&start), "{variable} does not begin with {start}");
            }
        }
        assert_eq!(PROVIDERS.len(), VENDORS.len());
    }

    #[test]
    fn a_credential_may_be_in_a_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("credential");
        std::fs::write(&path, "canary\n").expect("a file");
        let path = path.to_str().expect("a path of UTF-8");
        for provider in &PROVIDERS {
            for variable in provider.credentials {
                let variable = format!("{variable}_FILE");
                let scope = if provider.name == "monad" { MONAD[1] } else { SPARTERA[1] };
                assert_eq!(
                    configured(&[(&variable, path), scope], None),
                    Ok(vec![provider.name.to_owned()]),
                    "{variable}"
                );
            }
        }
    }
}
