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
            Some(current) if key.masked_secret().is_some_and(|masked| is_of_another(&current, masked)) => {
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

/// Whether a masked secret is surely not of this one: vendors mask in their own ways, and show the last characters.
fn is_of_another(secret: &Secret, masked: &str) -> bool {
    let shown = masked.rsplit(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default();
    masked.len() > shown.len() && shown.len() >= 4 && !secret.expose().trim_end().ends_with(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vendors_own_way_of_masking_proves_nothing() {
        let secret = "sk_live_0123456789abcdef1234".into();
        for (masked, is_of_another_key) in [
            ("sk_****1234", false),
            ("sk_live_\u{2022}\u{2022}\u{2022}f1234", false),
            ("...1234", false),
            ("sk_live_0123****", false),
            // Too little to tell.
            ("sk_****99", false),
            ("hidden", false),
            ("sk_****9999", true),
            ("XXXX-9999", true),
        ] {
            assert_eq!(is_of_another(&secret, masked), is_of_another_key, "{masked}");
        }
    }
}
