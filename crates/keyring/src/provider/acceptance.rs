//! Whether a vendor accepts a secret, and what its answer proves.

use std::sync::{Arc, Mutex, PoisonError};

use api_keyring_transport::Secret;

use crate::{Capability, ErrorKind, PageRequest, Provider, Result};

/// What a vendor's answer says about a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Acceptance {
    /// The secret works: the vendor carried out a request with it.
    Accepted,
    /// The secret works, but its key may not list keys. The vendor refused the request with 403, and it answers a secret
    /// that is certainly wrong differently.
    NotPermitted,
    /// The secret does not work: the vendor does not know it.
    Refused,
    /// The answer proves nothing: the vendor, or a gateway before it, answers a wrong secret with 403 as well.
    Unclear,
}

impl Acceptance {
    /// Returns whether the secret certainly works.
    pub fn is_accepted(self) -> bool {
        matches!(self, Self::Accepted | Self::NotPermitted)
    }

    /// Returns whether the secret certainly does not work.
    pub fn is_refused(self) -> bool {
        self == Self::Refused
    }
}

/// Tries secrets at a vendor, and remembers how the vendor answers a wrong one.
///
/// A 403 means "valid, but not allowed" only if the vendor answers a secret that is certainly wrong with something else.
/// The probe finds that out with one more request, the first time that it meets a 403. Clones share what it found. Use a
/// new probe for each run, because the gateway before a vendor may change.
///
/// ```
/// # async fn run() -> Result<(), api_keyring::Error> {
/// use api_keyring::{Memory, SecretProbe};
///
/// let provider = Memory::new();
/// let probe = SecretProbe::new();
/// assert!(probe.accepts(&provider, provider.credential()).await?.is_accepted());
/// assert!(probe.accepts(&provider, &"mem_live_0123456789".into()).await?.is_refused());
/// # Ok(())
/// # }
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(run()).unwrap();
/// ```
#[derive(Clone, Debug, Default)]
pub struct SecretProbe(Arc<Mutex<Option<Control>>>);

/// How the vendor answers a secret that is certainly wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Control {
    /// With 403, as it answers a valid secret without the permission.
    Forbidden,
    /// With something else.
    Different,
}

impl SecretProbe {
    /// Creates a probe that has tried nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Requests a page of one key with the secret, and returns what the answer proves. If the answer is 403, asks whose
    /// secret it is ([`Provider::whoami`]), or else tries a secret that is certainly wrong.
    ///
    /// # Errors
    ///
    /// The errors of [`Provider::list_page`] except `Unauthenticated` and `PermissionDenied`. `InvalidInput` if a header
    /// cannot hold the secret.
    pub async fn accepts(&self, provider: &(impl Provider + ?Sized), secret: &Secret) -> Result<Acceptance> {
        let with_secret = provider.with_secret(secret)?;
        let error = match with_secret.list_page(&PageRequest::first(1)).await {
            Ok(_) => return Ok(Acceptance::Accepted),
            Err(error) => error,
        };
        match error.kind() {
            ErrorKind::Unauthenticated => Ok(Acceptance::Refused),
            ErrorKind::PermissionDenied if provider.capabilities().support(Capability::Whoami).is_supported() => {
                match with_secret.whoami().await {
                    Ok(_) => Ok(Acceptance::NotPermitted),
                    Err(error) if error.is_unauthenticated() || error.is_permission_denied() => Ok(Acceptance::Refused),
                    Err(error) => Err(error),
                }
            }
            ErrorKind::PermissionDenied => Ok(match self.control(provider, secret).await? {
                Control::Different => Acceptance::NotPermitted,
                Control::Forbidden => Acceptance::Unclear,
            }),
            _ => Err(error),
        }
    }

    /// Returns how the vendor answers a secret of the same form that is certainly wrong.
    async fn control(&self, provider: &(impl Provider + ?Sized), secret: &Secret) -> Result<Control> {
        if let Some(known) = *self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            return Ok(known);
        }
        let control = match provider.with_secret(&wrong(secret))?.list_page(&PageRequest::first(1)).await {
            Err(error) if error.is_unauthenticated() => Control::Different,
            // A vendor that accepts a wrong secret proves nothing either.
            Ok(_) => Control::Forbidden,
            Err(error) if error.is_permission_denied() => Control::Forbidden,
            Err(error) => return Err(error),
        };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(control);
        Ok(control)
    }
}

/// Returns a secret of the same form that is certainly wrong: the second half differs in every letter and digit.
fn wrong(secret: &Secret) -> Secret {
    let text = secret.expose();
    let half = text.chars().count() / 2;
    let altered = |c: char| match c {
        '0'..='8' | 'a'..='y' | 'A'..='Y' => char::from_u32(c as u32 + 1).unwrap_or(c),
        '9' => '0',
        'z' => 'a',
        'Z' => 'A',
        other => other,
    };
    Secret::new(text.chars().enumerate().map(|(at, c)| if at < half { c } else { altered(c) }).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::wrong;

    #[test]
    fn a_wrong_secret_keeps_its_form() {
        for (secret, expected) in
            [("sk_live_0189azAZ", "sk_live_1290baBA"), ("eyJh.eyJz.c2ln", "eyJh.eyKa.d3mo"), ("-", "-"), ("", "")]
        {
            assert_eq!(wrong(&secret.into()).expose(), expected);
        }
    }
}
