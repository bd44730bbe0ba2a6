//! The settings and checks that every vendor's builder shares.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use api_keyring_transport::{Secret, Transport, TransportBuilder};

use crate::vendor::credential::{Access, RawClient, Scheme};
use crate::{Clock, Error, ErrorKind, Outcome, Result, SecretSource, SystemClock, find_secret};

type Adjust = Box<dyn FnOnce(TransportBuilder) -> TransportBuilder + Send>;

/// The source of the credential.
enum CredentialSource {
    Fixed(Secret),
    Dynamic(Arc<dyn SecretSource>),
}

/// The settings of every vendor's builder.
#[derive(Default)]
pub(crate) struct Settings {
    pub(crate) base_url: Option<String>,
    pub(crate) clock: Option<Arc<dyn Clock>>,
    secret: Option<CredentialSource>,
    adjust: Vec<Adjust>,
}

impl Settings {
    pub(crate) fn secret(&mut self, secret: impl Into<Secret>) {
        self.secret = Some(CredentialSource::Fixed(secret.into()));
    }

    pub(crate) fn secret_from(&mut self, source: impl SecretSource + 'static) {
        self.secret = Some(CredentialSource::Dynamic(Arc::new(source)));
    }

    pub(crate) fn adjust(&mut self, adjust: impl FnOnce(TransportBuilder) -> TransportBuilder + Send + 'static) {
        self.adjust.push(Box::new(adjust));
    }

    /// Creates the access. `base_url` is the default URL.
    pub(crate) fn access<C: RawClient>(self, provider: &str, base_url: &str, scheme: Scheme) -> Result<Access<C>> {
        let (secret, source) = match self.secret {
            None => {
                return Err(refuse(provider, "the credential is missing").advise("Set it with the builder's `api_key`"));
            }
            Some(CredentialSource::Fixed(secret)) => (secret, None),
            // The placeholder is never sent, because every request asks the source first.
            Some(CredentialSource::Dynamic(source)) => {
                (source.known().unwrap_or_else(|| Secret::new("unset")), Some(source))
            }
        };
        let credential = scheme(secret).map_err(|why| refuse(provider, "the credential is invalid").caused_by(why))?;
        let base_url = self.base_url.unwrap_or_else(|| base_url.to_owned());
        let builder = Transport::builder(base_url, credential);
        let builder = self.adjust.into_iter().fold(builder, |builder, adjust| adjust(builder));
        let transport = builder.build();
        let transport = transport.map_err(|why| refuse(provider, "cannot set up the HTTP client").caused_by(why))?;
        let clock = self.clock.unwrap_or_else(|| Arc::new(SystemClock));
        Ok(Access::new(transport, scheme, source, clock))
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings").finish_non_exhaustive()
    }
}

/// Parses the id of a scope into the vendor's own type.
pub(crate) fn scope<T: FromStr<Err: fmt::Display>>(provider: &str, what: &str, id: &str) -> Result<T> {
    if id.is_empty() {
        let setter = what.replace(' ', "_");
        let advice = format!("Set it with the builder's `{setter}`");
        return Err(refuse(provider, format!("the {what} is missing")).advise(advice));
    }
    if find_secret(id).is_some() {
        return Err(refuse(provider, format!("the {what} looks like a secret")));
    }
    id.parse().map_err(|why| refuse(provider, format!("the {what} is invalid: {why}")))
}

fn refuse(provider: &str, problem: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::InvalidInput, Outcome::NotSent, problem).under(provider)
}
