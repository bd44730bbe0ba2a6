//! What is looked at before a rotation is begun: the clock, the sink, and whose key it is.

use api_keyring::{ApiKey, ErrorKind, ProviderExt as _, Secret, SharedSecret};

use crate::engine::usage_of;
use crate::{JournalError, OwnCredential, Plan, RotateError, Rotator, SinkContent, Timing, UnusedFor};

impl Rotator {
    /// Refuses to go by a clock that is wrong: how long the new key lives and when the grace ends is told by it.
    pub(crate) fn check_clock(&self, key: &ApiKey, timing: &Timing) -> Result<(), RotateError> {
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

    /// What the sink holds, as far as a masked secret of the vendor's tells, or else whether the vendor lets it in.
    pub(crate) async fn look_into_sink(
        &self,
        key: &ApiKey,
        adopts: bool,
    ) -> Result<(SinkContent, Option<Secret>), RotateError> {
        let current = match self.sink.current().await {
            // Of several that do not hold the same, all get the new secret.
            Err(_) if adopts => return Ok((SinkContent::Other, None)),
            current => current.map_err(|error| self.sink_error(error))?,
        };
        let Some(current) = current else { return Ok((SinkContent::Nothing, None)) };
        let is_of_key = match key.masked_secret().and_then(MaskedSecret::of) {
            Some(masked) => masked.is_of(&current),
            None => match self.provider.accepts(&current).await {
                Ok(is_accepted) => is_accepted,
                // No secret looks like that.
                Err(error) if error.kind() == ErrorKind::InvalidInput => false,
                Err(error) => return Err(error.into()),
            },
        };
        Ok((if is_of_key { SinkContent::OldSecret } else { SinkContent::Other }, Some(current)))
    }

    /// Refuses a sink that does not hold the key's secret.
    pub(crate) async fn refuse_sink(&self, plan: &Plan) -> RotateError {
        let problem = match plan.in_sink {
            SinkContent::Nothing => "is empty",
            _ => "does not hold its secret",
        };
        // What is there may be the new key's by now.
        match self.journal.unfinished().await {
            Ok(unfinished) => {
                if let Some(other) = unfinished.into_iter().find(|other| other.plan.rotates_same_key(plan)) {
                    return JournalError::UnderWay(other.id).into();
                }
            }
            Err(error) => return error.into(),
        }
        RotateError::Refused(format!(
            "{}: key {}: {} {problem}, and those who use the key look elsewhere: name the place where its secret is, or \
             adopt this one",
            plan.provider,
            plan.old.id,
            self.sink.name(),
        ))
    }

    /// Refuses to wait for evidence of use where there will be none, or where the rotator's own doing would be taken for it.
    pub(crate) async fn check_use_is_told(&self, plan: &Plan, unused: UnusedFor) -> Result<(), RotateError> {
        let old = &plan.old.id;
        let refuse = |why| Err(RotateError::Refused(format!("{}: key {old}: {why}", plan.provider)));
        if plan.own_credential != OwnCredential::No {
            return refuse("it is, or may be, the one that is used here, whose use would be taken for that of others");
        }
        match usage_of(&*self.provider, unused, old).await? {
            Some(told) if told.count.is_none() && told.last.is_none() => {
                refuse("the vendor does not show any use of it: do not wait for evidence of use")
            }
            _ => Ok(()),
        }
    }

    /// Whether the provider authenticates with this key.
    pub(crate) fn own_credential_is(
        &self,
        key: &ApiKey,
        in_sink: SinkContent,
        current: Option<&Secret>,
    ) -> OwnCredential {
        let Some(own) = self.own.as_ref().map(SharedSecret::get) else { return OwnCredential::No };
        match key.masked_secret().and_then(MaskedSecret::of) {
            _ if current == Some(&own) => OwnCredential::Yes,
            Some(masked) if masked.is_of(&own) => OwnCredential::Yes,
            Some(_) => OwnCredential::No,
            // The key has one secret, and it is another.
            None if in_sink == SinkContent::OldSecret => OwnCredential::No,
            None => OwnCredential::Unknown,
        }
    }
}

/// What a vendor shows of a secret: its last characters, after whatever it hides the others by.
pub(crate) struct MaskedSecret<'a>(&'a str);

impl<'a> MaskedSecret<'a> {
    /// `None` where too little is shown to tell.
    pub(crate) fn of(masked: &'a str) -> Option<Self> {
        let end = masked.rsplit(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default();
        // A secret's beginning may be shown as well, and end here.
        let is_hidden_before =
            masked.strip_suffix(end).is_some_and(|rest| rest.ends_with(['*', '\u{2022}', '\u{2026}', '.']));
        (is_hidden_before && end.len() >= 4).then_some(Self(end))
    }

    pub(crate) fn is_of(&self, secret: &Secret) -> bool {
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
            assert_eq!(MaskedSecret::of(masked).map(|masked| masked.is_of(&secret)), is_of_it, "{masked}");
        }
    }
}
