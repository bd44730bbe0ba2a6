//! What setting up any vendor has in common.

use std::fmt;
use std::str::FromStr;

use api_keyring_transport::{Credential, InvalidCredential, Transport, TransportBuilder};

use crate::{Error, ErrorKind, Outcome, Result};

type Adjust = Box<dyn FnOnce(TransportBuilder) -> TransportBuilder + Send>;

/// The settings that every vendor's builder has.
#[derive(Default)]
pub(crate) struct Settings {
    pub(crate) base_url: Option<String>,
    // A refusal waits here until `build`, which can return it.
    credential: Option<std::result::Result<Credential, InvalidCredential>>,
    adjust: Vec<Adjust>,
}

impl Settings {
    pub(crate) fn credential(&mut self, credential: std::result::Result<Credential, InvalidCredential>) {
        self.credential = Some(credential);
    }

    pub(crate) fn adjust(&mut self, adjust: impl FnOnce(TransportBuilder) -> TransportBuilder + Send + 'static) {
        self.adjust.push(Box::new(adjust));
    }

    /// Makes the transport, to `base_url` unless another one was set.
    pub(crate) fn transport(self, provider: &str, base_url: &str) -> Result<Transport> {
        let credential = self.credential.ok_or_else(|| refuse(provider, "the credential is missing"))?;
        let credential = credential.map_err(|why| refuse(provider, "the credential cannot be used").caused_by(why))?;
        let base_url = self.base_url.unwrap_or_else(|| base_url.to_owned());
        let builder = Transport::builder(base_url, credential);
        let builder = self.adjust.into_iter().fold(builder, |builder, adjust| adjust(builder));
        builder.build().map_err(|why| refuse(provider, "the connection cannot be set up").caused_by(why))
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings").field("credential", &self.credential).finish_non_exhaustive()
    }
}

/// Reads the id of a scope, in the vendor's own patterned type.
pub(crate) fn scope<T: FromStr<Err: fmt::Display>>(provider: &str, what: &str, id: &str) -> Result<T> {
    if id.is_empty() {
        return Err(refuse(provider, format!("the {what} is missing")));
    }
    id.parse().map_err(|why| refuse(provider, format!("the {what} cannot be used: {why}")))
}

fn refuse(provider: &str, problem: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::InvalidInput, Outcome::NotSent, problem).under(provider)
}
