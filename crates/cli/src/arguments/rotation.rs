//! The grammar of the commands that rotate.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use api_keyring::KeyId;
use api_keyring_rotation::{InvalidPattern, RotateKey, RotationId, Selector, Sink, Timing, open_sinks};
use chrono::TimeDelta;
use clap::Args;

use super::{Consent, ExpiryArguments, Key};
use crate::destination;

#[derive(Debug, Args)]
pub(crate) struct Rotate {
    #[command(flatten)]
    pub(crate) key: Key,
    /// Where the key's secret is kept, and the new one goes: file:PATH, dotenv:PATH#VARIABLE or command:PROGRAM; may be
    /// given several times. With --in-place also `-`, standard output
    #[arg(long = "to", value_name = "DEST")]
    pub(crate) to: Vec<Target>,
    #[command(flatten)]
    pub(crate) options: RotateOptions,
}

#[derive(Debug, Args)]
pub(crate) struct RotateFleet {
    /// The provider whose keys to rotate
    pub(crate) provider: String,
    #[command(flatten)]
    pub(crate) selection: Selection,
    /// Where each key's secret is kept, as for `rotate`, with {name} where the key's name stands
    #[arg(long = "to", value_name = "DEST", required = true)]
    pub(crate) to: Vec<String>,
    /// How many keys are rotated at a time
    #[arg(long, value_name = "COUNT", default_value_t = 8)]
    pub(crate) concurrency: usize,
    /// How many keys are rotated first, and then, before all others: a failure among these spares the rest
    #[arg(long, value_name = "COUNT,…", value_delimiter = ',', default_value = "1")]
    pub(crate) canaries: Vec<usize>,
    #[command(flatten)]
    pub(crate) options: RotateOptions,
}

/// Which keys of a provider.
#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
pub(crate) struct Selection {
    /// All keys that work
    #[arg(long, conflicts_with_all = ["named", "older_than", "expiring_within"])]
    all: bool,
    /// Only keys of such a name, where * stands for any text; the mark of an earlier rotation does not count
    #[arg(long, value_name = "PATTERN")]
    named: Option<String>,
    /// Only keys that were issued at least so long ago
    #[arg(long, value_name = "DURATION", value_parser = time_delta)]
    older_than: Option<TimeDelta>,
    /// Only keys that expire within such a time
    #[arg(long, value_name = "DURATION", value_parser = time_delta)]
    expiring_within: Option<TimeDelta>,
}

impl Selection {
    pub(crate) fn selector(&self) -> Result<Selector, InvalidPattern> {
        let mut selector = Selector::new();
        if let Some(pattern) = &self.named {
            selector = selector.named(pattern)?;
        }
        selector = self.older_than.into_iter().fold(selector, Selector::older_than);
        Ok(self.expiring_within.into_iter().fold(selector, Selector::expiring_within))
    }
}

/// How a key is rotated.
#[derive(Debug, Args)]
pub(crate) struct RotateOptions {
    /// Have the vendor replace the secret: the old one dies at once, and a lost answer has to be asked for again
    #[arg(long)]
    pub(crate) in_place: bool,
    /// Rotate in place also the key that is used here
    #[arg(long, requires = "in_place")]
    pub(crate) even_own: bool,
    /// Tell what would be done, and do nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// How long the old key goes on working, for whoever has not read the new secret yet
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "1h", conflicts_with = "in_place")]
    grace: Duration,
    /// The old key is in the wrong hands: retire it as soon as the new one works
    #[arg(long, conflicts_with_all = ["grace", "in_place"])]
    leaked: bool,
    /// Have the old key expire at the end of the grace, so that it ends although nobody resumes
    #[arg(long, conflicts_with_all = ["in_place", "leaked"])]
    expire_old: bool,
    /// Retire the old key only once the vendor shows that others use the new one, and that nobody has used the old one for
    /// so long
    #[arg(long, value_name = "DURATION", value_parser = duration, conflicts_with_all = ["in_place", "leaked", "expire_old"])]
    unused_for: Option<Duration>,
    /// Put the new secret into --to although it is empty, or seems to hold another key's
    #[arg(long)]
    adopt: bool,
    /// The new key's role, for a vendor that does not tell the old one's
    #[arg(long, conflicts_with = "in_place")]
    role: Option<String>,
    /// Why, for a vendor that keeps it
    #[arg(long)]
    reason: Option<String>,
    #[command(flatten)]
    pub(crate) expiry: ExpiryArguments,
    #[command(flatten)]
    timing: TimingArguments,
    #[command(flatten)]
    pub(crate) rotator: RotatorArguments,
    #[command(flatten)]
    pub(crate) consent: Consent,
}

impl RotateOptions {
    /// What the library is asked for.
    pub(crate) fn request(&self, key: &KeyId) -> RotateKey {
        let mut rotate = RotateKey::new(key.clone());
        if self.in_place {
            rotate = rotate.in_place();
        }
        rotate.even_own = self.even_own;
        rotate.expire_old = self.expire_old;
        rotate.adopt_sink = self.adopt;
        rotate.unused_for = self.unused_for;
        rotate.expiry = self.expiry.expiry();
        rotate.role.clone_from(&self.role);
        rotate.reason.clone_from(&self.reason);
        rotate = rotate.timing(self.timing.timing()).grace(self.grace);
        if self.leaked { rotate.leaked() } else { rotate }
    }

    /// When the old secret of a key, or of several, stops working.
    pub(crate) fn warning(&self, key: &str) -> String {
        let grace = if self.leaked { Duration::ZERO } else { self.grace };
        match (self.in_place, self.unused_for.map(|_| ", or later, once nobody uses it any more").unwrap_or_default()) {
            (true, _) => format!("The old secret of {key} stops working at once."),
            (false, "") if grace.is_zero() => {
                format!("The old secret of {key} stops working as soon as a new key works.")
            }
            (false, unused) => {
                let grace = humantime::format_duration(grace);
                format!("The old secret of {key} stops working {grace} after a new key has taken its place{unused}.")
            }
        }
    }
}

/// Where a rotated secret goes.
#[derive(Clone, Debug)]
pub(crate) enum Target {
    Stdout,
    Sink(Arc<dyn Sink>),
}

impl std::str::FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == destination::STDOUT {
            return Ok(Self::Stdout);
        }
        open_sinks(&[text]).map(Self::Sink).map_err(|error| error.to_string())
    }
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Patience")]
struct TimingArguments {
    /// How long a vendor's list may not show a key that was just issued
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "1m")]
    settle: Duration,
    /// How often in a row the new secret has to be seen to work
    #[arg(long, value_name = "COUNT", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1000))]
    verify_times: u32,
    /// How long the new secret may take until it works
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "5m")]
    verify_within: Duration,
    /// How long the old secret may take until it is refused
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "5m")]
    confirm_within: Duration,
    /// How far behind the vendor may be when it shows that a key was used
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "1m")]
    use_lag: Duration,
    /// How far this machine's clock may be off the vendor's when the rotation begins
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "5m")]
    clock_tolerance: Duration,
    /// How long it is between one look and the next
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "2s")]
    poll: Duration,
}

impl TimingArguments {
    fn timing(&self) -> Timing {
        let mut timing = Timing::default();
        timing.settle_seconds = self.settle.as_secs();
        timing.verify_successes = self.verify_times;
        timing.verify_seconds = self.verify_within.as_secs();
        timing.confirm_seconds = self.confirm_within.as_secs();
        timing.use_lag_seconds = self.use_lag.as_secs();
        timing.clock_seconds = self.clock_tolerance.as_secs();
        timing.poll_millis = self.poll.as_millis().try_into().unwrap_or(u64::MAX);
        timing
    }
}

/// How a rotation is carried on.
#[derive(Clone, Debug, Args)]
pub(crate) struct RotatorArguments {
    /// How long to wait for the end of the grace and for evidence of use; what takes longer is left to a later `resume`
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "1m")]
    pub(crate) wait: Duration,
    /// How long others leave a rotation alone after a step of a process that is gone since
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "5m")]
    pub(crate) lease: Duration,
    #[command(flatten)]
    pub(crate) journal: JournalArguments,
}

/// Where rotations are written down.
#[derive(Clone, Debug, Args)]
pub(crate) struct JournalArguments {
    /// The file in which rotations are written down
    #[arg(long, value_name = "FILE")]
    pub(crate) journal: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Resume {
    /// The rotations; all that are not finished if left out
    #[arg(value_name = "ROTATION")]
    pub(crate) rotations: Vec<RotationId>,
    /// Do not wait any more until the old key is seen to be unused, or its secret to be refused; the journal keeps why
    #[arg(long, value_name = "WHY", requires = "rotations")]
    pub(crate) waive_evidence: Option<String>,
    #[command(flatten)]
    pub(crate) rotator: RotatorArguments,
}

#[derive(Debug, Args)]
pub(crate) struct Status {
    /// The rotation; all that are not finished if left out
    #[arg(value_name = "ROTATION")]
    pub(crate) rotation: Option<RotationId>,
    #[command(flatten)]
    pub(crate) journal: JournalArguments,
}

#[derive(Debug, Args)]
pub(crate) struct History {
    /// The rotation; the latest ones if left out
    #[arg(value_name = "ROTATION")]
    pub(crate) rotation: Option<RotationId>,
    /// How many rotations
    #[arg(long, value_name = "COUNT", default_value_t = 50)]
    pub(crate) limit: usize,
    #[command(flatten)]
    pub(crate) journal: JournalArguments,
}

#[derive(Debug, Args)]
pub(crate) struct Abort {
    /// The rotation
    #[arg(value_name = "ROTATION")]
    pub(crate) rotation: RotationId,
    /// Why; the journal keeps it
    #[arg(long, default_value = "aborted by hand")]
    pub(crate) reason: String,
    /// Somebody else has put another secret into the destination: leave it there
    #[arg(long)]
    pub(crate) leave_destination: bool,
    #[command(flatten)]
    pub(crate) rotator: RotatorArguments,
    #[command(flatten)]
    pub(crate) consent: Consent,
}

#[derive(Debug, Args)]
pub(crate) struct Sweep {
    /// The provider whose keys to look at; all if left out
    pub(crate) provider: Option<String>,
    /// Delete those whose rotation is in the journal, and whose secret is in none of its destinations
    #[arg(long)]
    pub(crate) retire: bool,
    /// A place where secrets are kept, as for `rotate`; may be given several times
    #[arg(long = "in", value_name = "DEST")]
    pub(crate) destinations: Vec<Target>,
    /// Delete also those of no rotation in the journal, where the vendor shows that their secrets are in none of these places
    #[arg(long, requires_all = ["retire", "destinations"])]
    pub(crate) even_unknown: bool,
    #[command(flatten)]
    pub(crate) journal: JournalArguments,
    #[command(flatten)]
    pub(crate) consent: Consent,
}

fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|why| format!("{why}; write 90d, 12h or 30s"))
}

fn time_delta(text: &str) -> Result<TimeDelta, String> {
    TimeDelta::from_std(duration(text)?).map_err(|_| "the duration is too long".to_owned())
}
