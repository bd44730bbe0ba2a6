//! What is looked at before a rotation is begun: the clock, the sink, and whose key it is.

use api_keyring_transport::Secret;

use super::engine::use_of;
use super::{JournalError, Plan, RotateError, Rotator, Timing, UnusedFor};
use crate::{ApiKey, SharedSecret};

impl Rotator {
    /// Refuses to go by a clock that is wrong: how long the new key lives and when the grace ends is told by it.
    pub(super) fn check_clock(&self, key: &ApiKey, timing: &Timing) -> Result<(), RotateError> {
        let Some(theirs) = key.as_of() else { return Ok(()) };
        let ahead = (self.clock.now() - theirs).num_seconds();
        if ahead.unsigned_abs() <= timing.clock_seconds {
            return Ok(());
        }
        let direction = if ahead > 0 { "ahead of" } else { "behind" };
        Err(RotateError::Refused(format!(
            "{}: key {}: this machine's clock is {} s {direction} the vendor's, and would tell the new key's lifetime and the end \
             of the grace: set it right",
            self.provider.name(),
            key.id(),
            ahead.unsigned_abs(),
        )))
    }

    /// Refuses a sink that does not hold the key's secret, as far as that can be told.
    pub(super) async fn check_sink_is_of(&self, key: &ApiKey, plan: &Plan) -> Result<(), RotateError> {
        let problem = match self.sink.current().await.map_err(|error| self.sink_error(error))? {
            None => "is empty",
            Some(current) if key.masked_secret().and_then(Masked::of).is_some_and(|masked| !masked.is_of(&current)) => {
                "holds another key's secret"
            }
            Some(_) => return Ok(()),
        };
        // What is there may be the new key's by now.
        if let Some(other) = self.journal.unfinished().await?.into_iter().find(|other| other.plan.is_of_same_key(plan))
        {
            return Err(JournalError::UnderWay(other.id).into());
        }
        Err(RotateError::Refused(format!(
            "{}: key {}: {} {problem}, and those who use the key look elsewhere: name the place where its secret is, or \
             adopt this one",
            self.provider.name(),
            key.id(),
            self.sink.name(),
        )))
    }

    /// Refuses to wait for evidence of use where there will be none, or where the rotator's own doing would be taken for it.
    pub(super) async fn check_use_is_told(&self, key: &ApiKey, unused: UnusedFor) -> Result<(), RotateError> {
        let refuse = |why| Err(RotateError::Refused(format!("{}: key {}: {why}", self.provider.name(), key.id())));
        if self.is_own(key).await? {
            return refuse("it is the one that is used here, whose use would be taken for that of others");
        }
        match use_of(&*self.provider, unused, key.id()).await? {
            Some(told) if told.count.is_none() && told.last.is_none() => {
                refuse("the vendor does not show any use of it: do not wait for evidence of use")
            }
            _ => Ok(()),
        }
    }

    /// Whether the sink holds the secret that the provider authenticates with.
    pub(super) async fn has_own_in_sink(&self) -> bool {
        let Some(own) = self.own.as_ref().map(SharedSecret::get) else { return false };
        self.sink.current().await.is_ok_and(|current| current.as_ref() == Some(&own))
    }

    /// Whether the provider authenticates with this key, as far as the sink or a masked secret of the vendor's tells.
    pub(super) async fn is_own(&self, key: &ApiKey) -> Result<bool, RotateError> {
        let Some(own) = self.own.as_ref().map(SharedSecret::get) else { return Ok(false) };
        let current = self.sink.current().await.map_err(|error| self.sink_error(error))?;
        Ok(current.as_ref() == Some(&own) || key.masked_secret() == Some(&own.masked()))
    }
}

/// What a vendor shows of a secret: its last characters, after whatever it hides the others by.
pub(super) struct Masked<'a>(&'a str);

impl<'a> Masked<'a> {
    /// `None` where too little is shown to tell.
    pub(super) fn of(masked: &'a str) -> Option<Self> {
        let end = masked.rsplit(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default();
        // A secret's beginning may be shown as well, and end here.
        let is_hidden_before =
            masked.strip_suffix(end).is_some_and(|rest| rest.ends_with(['*', '\u{2022}', '\u{2026}', '.']));
        (is_hidden_before && end.len() >= 4).then_some(Self(end))
    }

    pub(super) fn is_of(&self, secret: &Secret) -> bool {
        secret.expose().trim_end().ends_with(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_known_by_the_end_that_a_vendor_shows() {
        let secret = "sk_live_0123456789abcdef1234".into();
        for (masked, is_of_it) in [
            ("sk_****1234", Some(true)),
            ("sk_live_\u{2022}\u{2022}\u{2022}f1234", Some(true)),
            ("...1234", Some(true)),
            ("sk_****9999", Some(false)),
            ("\u{2026}9999", Some(false)),
            // Too little to tell.
            ("sk_live_0123****", None),
            ("sk_****99", None),
            ("hidden", None),
            ("sk_live_0123", None),
            ("****", None),
        ] {
            assert_eq!(Masked::of(masked).map(|masked| masked.is_of(&secret)), is_of_it, "{masked}");
        }
    }
}
