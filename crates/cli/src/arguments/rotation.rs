//! The grammar and the help of the commands that rotate.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use api_keyring::{Expiry, KeyId};
use api_keyring_rotation::{InvalidPattern, RotateKey, RotationId, Selector, Sink, Timing, open_sinks};
use chrono::TimeDelta;
use clap::Args;

use super::{Consent, Key, duration, expires_at, expires_in, positive_duration, time_delta, whole_seconds};
use crate::destination;

#[derive(Debug, Args)]
pub(crate) struct Rotate {
    #[command(flatten)]
    pub(crate) key: Key,
    /// Where the key's secret is stored: file:PATH, dotenv:PATH#VARIABLE or command:PROGRAM
    ///
    /// The rotation replaces the secret there. This option is required, and you can give it several times. With
    /// --in-place, a single `-` prints the new secret on standard output instead.
    ///
    /// PROGRAM runs with the arguments `check`, `read SLOT`, `write SLOT` or `remove SLOT`. It prints the secret that
    /// it reads, and gets the secret that it writes on its standard input. SLOT is current, pending-MARK or
    /// previous-MARK.
    #[arg(long = "to", value_name = "DEST")]
    pub(crate) to: Vec<Target>,
    /// Allow --in-place for your own credential
    ///
    /// If the vendor's answer is lost, this can lock you out.
    #[arg(long, requires = "in_place")]
    pub(crate) even_own: bool,
    #[command(flatten)]
    pub(crate) options: RotateOptions,
}

impl Rotate {
    /// Returns the request that the arguments describe.
    pub(crate) fn request(&self) -> RotateKey {
        self.options.request(self.key.key.id(), self.even_own)
    }
}

// clap's own usage lists every option of the selection and does not wrap.
#[derive(Debug, Args)]
#[command(override_usage = "api-keyring rotate-fleet [OPTIONS] --to <DEST> <SELECTION> <PROVIDER>")]
pub(crate) struct RotateFleet {
    /// Provider whose keys to rotate: spartera or monad
    pub(crate) provider: String,
    #[command(flatten)]
    pub(crate) selection: Selection,
    /// Where each key's secret is stored, such as 'file:/etc/keys/{name}'
    ///
    /// Write the destination as for `rotate`; {name} stands for the key's name. You can give this option several times.
    #[arg(long = "to", value_name = "DEST", required = true)]
    pub(crate) to: Vec<String>,
    /// How many keys to rotate at the same time
    #[arg(long, value_name = "COUNT", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(crate) concurrency: u16,
    /// Sizes of the canary waves, such as 1,10; 0 for no canaries
    ///
    /// The fleet rotates these waves first. If a rotation in one of them fails, the fleet starts no further rotations.
    #[arg(long, value_name = "COUNT,…", value_delimiter = ',', default_value = "1", value_parser = clap::value_parser!(u32).range(..=1_000_000))]
    pub(crate) canaries: Vec<u32>,
    /// How many rotations in a row may fail because the vendor cannot be reached
    ///
    /// The fleet then starts no further rotations. The default is twice the --concurrency, but at least 3.
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) give_up_after: Option<u32>,
    /// Rotate your own credential, too
    ///
    /// Without this option, the fleet leaves it alone and reports it as failed. With this option, the fleet rotates it
    /// last. With --in-place, this can lock you out if the vendor's answer is lost.
    #[arg(long)]
    pub(crate) even_own: bool,
    #[command(flatten)]
    pub(crate) options: RotateOptions,
}

impl RotateFleet {
    /// Returns the request that the arguments describe for this key.
    pub(crate) fn request(&self, key: &KeyId) -> RotateKey {
        self.options.request(key, self.even_own)
    }
}

/// The heading of the options that select keys.
const SELECTION: &str = "Selection";

/// Which keys of a provider.
#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
pub(crate) struct Selection {
    /// Select all keys that can still be used
    #[arg(long, help_heading = SELECTION, conflicts_with_all = ["named", "older_than", "expiring_within"])]
    all: bool,
    /// Select keys whose name matches this pattern, such as 'ci-*'
    ///
    /// The asterisk stands for any text. The pattern ignores the mark that an earlier rotation added to the name.
    #[arg(long, help_heading = SELECTION, value_name = "PATTERN")]
    named: Option<String>,
    /// Select keys that were issued at least this long ago, such as 90d
    ///
    /// Keys of unknown age are selected, too.
    #[arg(long, help_heading = SELECTION, value_name = "DURATION", value_parser = time_delta)]
    older_than: Option<TimeDelta>,
    /// Select keys that expire within this time, such as 30d
    #[arg(long, help_heading = SELECTION, value_name = "DURATION", value_parser = time_delta)]
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
    /// Give the same key a new secret; the old secret stops working at once
    ///
    /// You cannot undo this. If the vendor's answer is lost, nobody has a secret that works until the rotation has
    /// requested another one.
    #[arg(long)]
    pub(crate) in_place: bool,
    /// Show what the command would do, and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// How long to keep the old key after the new one has replaced it
    ///
    /// Programs that use the key have at least this long to read the new secret. The first `resume` after it retires
    /// the old key.
    #[arg(long, value_name = "DURATION", value_parser = whole_seconds, default_value = "1h", conflicts_with = "in_place")]
    grace: Duration,
    /// Skip the grace, because the old secret has leaked: retire the old key as soon as the new one works
    #[arg(long, conflicts_with_all = ["grace", "in_place"])]
    leaked: bool,
    /// Make the old key expire at the end of the grace
    ///
    /// The old key then stops working on time even if nobody resumes the rotation.
    #[arg(long, conflicts_with_all = ["in_place", "leaked"])]
    expire_old: bool,
    /// Retire the old key only after nothing has used it for this long
    ///
    /// The vendor must also show that programs other than api-keyring use the new key.
    #[arg(long, value_name = "DURATION", value_parser = whole_seconds, conflicts_with_all = ["in_place", "leaked", "expire_old"])]
    unused_for: Option<Duration>,
    /// Accept a --to destination that is empty or holds another secret
    ///
    /// Without this option, the rotation refuses such a destination, because the programs that use the key probably
    /// read it from somewhere else.
    #[arg(long)]
    adopt: bool,
    /// Role of the new key; by default the old key's role
    ///
    /// Some vendors do not show the old key's role and require this option.
    #[arg(long, conflicts_with = "in_place")]
    role: Option<String>,
    /// Reason for retiring the old key, for vendors that record one
    #[arg(long)]
    reason: Option<String>,
    #[command(flatten)]
    pub(crate) expiry: NewExpiryArguments,
    #[command(flatten)]
    timing: TimingArguments,
    #[command(flatten)]
    pub(crate) rotator: RotatorArguments,
    #[command(flatten)]
    pub(crate) consent: Consent,
}

impl RotateOptions {
    /// Returns the request that these options describe.
    pub(crate) fn request(&self, key: &KeyId, even_own: bool) -> RotateKey {
        let mut rotate = RotateKey::new(key.clone());
        if self.in_place {
            rotate = rotate.in_place();
        }
        rotate.even_own = even_own;
        rotate.expire_old = self.expire_old;
        rotate.adopt_sink = self.adopt;
        rotate.unused_for = self.unused_for;
        rotate.expiry = self.expiry.expiry();
        rotate.role.clone_from(&self.role);
        rotate.reason.clone_from(&self.reason);
        rotate = rotate.timing(self.timing.timing()).grace(self.grace);
        if self.leaked { rotate.leaked() } else { rotate }
    }

    /// Returns a sentence that says when the old secret of a key, or of several, stops working.
    pub(crate) fn warning(&self, key: &str) -> String {
        let grace = if self.leaked { Duration::ZERO } else { self.grace };
        match (self.in_place, self.unused_for.map(|_| ", or later if it is still in use").unwrap_or_default()) {
            (true, _) => format!("The old secret of {key} stops working at once."),
            (false, "") if grace.is_zero() => {
                format!("The old secret of {key} stops working as soon as a new key works.")
            }
            (false, unused) => {
                let grace = humantime::format_duration(grace);
                format!(
                    "The old secret of {key} stops working no earlier than {grace} after a new key has replaced \
                     it{unused}."
                )
            }
        }
    }
}

/// When the new key expires.
#[derive(Debug, Args)]
#[group(multiple = false)]
pub(crate) struct NewExpiryArguments {
    /// Time from now until the new key expires, such as 90d or 12h
    ///
    /// By default the new key gets the same lifetime as the old one. With --in-place, the key keeps its expiry by
    /// default.
    #[arg(long, value_name = "DURATION", value_parser = expires_in)]
    expires_in: Option<Expiry>,
    /// Time at which the new key expires, such as 2030-01-31T00:00:00Z
    #[arg(long, value_name = "TIME", value_parser = expires_at)]
    expires_at: Option<Expiry>,
}

impl NewExpiryArguments {
    pub(crate) fn expiry(&self) -> Option<Expiry> {
        self.expires_in.or(self.expires_at)
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

/// The heading of the options that say how long and how often to try.
const TIMING: &str = "Timing";

#[derive(Debug, Args)]
struct TimingArguments {
    /// How long a new key may be missing from the vendor's list
    ///
    /// If the answer to a create is lost, the rotation looks for the key that long before it issues another. The time
    /// restarts on resume.
    #[arg(long, help_heading = TIMING, value_name = "DURATION", value_parser = whole_seconds, default_value = "1m")]
    settle: Duration,
    /// How many times in a row the new secret must work
    #[arg(long, help_heading = TIMING, value_name = "COUNT", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1000))]
    verify_times: u32,
    /// How long the new secret may take to start working
    ///
    /// If it does not work by then, the rotation is aborted; with --in-place, it requests another secret. The time
    /// restarts on resume.
    #[arg(long, help_heading = TIMING, value_name = "DURATION", value_parser = whole_seconds, default_value = "5m")]
    verify_within: Duration,
    /// How long the old secret may take to stop working once the old key is retired
    ///
    /// If it still works by then, the rotation needs attention. The time restarts on resume.
    #[arg(long, help_heading = TIMING, value_name = "DURATION", value_parser = whole_seconds, default_value = "5m")]
    confirm_within: Duration,
    /// How long the vendor may take to show that a key was used
    #[arg(long, help_heading = TIMING, value_name = "DURATION", value_parser = whole_seconds, default_value = "1m")]
    use_lag: Duration,
    /// How far your clock may differ from the vendor's when the rotation starts
    #[arg(long, help_heading = TIMING, value_name = "DURATION", value_parser = whole_seconds, default_value = "5m")]
    clock_tolerance: Duration,
    /// How long to wait between two checks
    #[arg(long, help_heading = TIMING, value_name = "DURATION", value_parser = positive_duration, default_value = "2s")]
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
        timing.poll_millis = self.poll.as_nanos().div_ceil(1_000_000).try_into().unwrap_or(u64::MAX);
        timing
    }
}

/// How a rotator works on rotations, and where it records them.
#[derive(Clone, Debug, Args)]
pub(crate) struct RotatorArguments {
    /// How long to wait in all for the end of the grace and for evidence of use
    ///
    /// A rotation that needs more time waits to be resumed. To continue it later, run `api-keyring resume`. An abort
    /// waits for neither.
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "1m")]
    pub(crate) wait: Duration,
    /// How long other processes wait before they take over a rotation whose process has died
    ///
    /// A day at most. On Linux, other processes of the same machine or container do not wait.
    #[arg(long, value_name = "DURATION", value_parser = positive_duration, default_value = "5m")]
    pub(crate) lease: Duration,
    #[command(flatten)]
    pub(crate) journal: JournalArguments,
}

/// Where rotations are recorded.
#[derive(Clone, Debug, Args)]
pub(crate) struct JournalArguments {
    /// File that records rotations
    ///
    /// The default is the file that API_KEYRING_JOURNAL names, or else api-keyring/rotations.sqlite in your state
    /// directory ($XDG_STATE_HOME, or else %LOCALAPPDATA% or ~/.local/state).
    #[arg(long, value_name = "FILE")]
    pub(crate) journal: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Resume {
    /// Ids of the rotations to continue; all unfinished ones if omitted
    #[arg(value_name = "ROTATION")]
    pub(crate) rotations: Vec<RotationId>,
    /// Continue without evidence that the old key is unused, or that its secret is refused
    ///
    /// The journal records REASON. Name exactly one ROTATION.
    #[arg(long, value_name = "REASON", requires = "rotations")]
    pub(crate) waive_evidence: Option<String>,
    /// Replace what the destination holds now, if that is not what it held when the rotation was planned
    ///
    /// Name exactly one ROTATION. The destination must be empty, or hold one secret and nothing else.
    #[arg(long, requires = "rotations", conflicts_with = "waive_evidence")]
    pub(crate) adopt: bool,
    #[command(flatten)]
    pub(crate) rotator: RotatorArguments,
}

#[derive(Debug, Args)]
pub(crate) struct Status {
    /// Id of the rotation to show; all unfinished ones if omitted
    #[arg(value_name = "ROTATION")]
    pub(crate) rotation: Option<RotationId>,
    #[command(flatten)]
    pub(crate) journal: JournalArguments,
}

#[derive(Debug, Args)]
pub(crate) struct History {
    /// Id of the rotation whose steps to show; the latest rotations if omitted
    #[arg(value_name = "ROTATION")]
    pub(crate) rotation: Option<RotationId>,
    /// How many rotations, or steps of one, to list
    #[arg(long, value_name = "COUNT", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) limit: u32,
    /// Where to continue a list of rotations, as the list before said
    #[arg(long, value_name = "PLACE", conflicts_with = "rotation")]
    pub(crate) from: Option<u64>,
    #[command(flatten)]
    pub(crate) journal: JournalArguments,
}

#[derive(Debug, Args)]
pub(crate) struct Prune {
    /// Remove rotations that were finished at least this long ago, such as 90d
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) older_than: Duration,
    /// Say how many rotations the command would remove, and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) journal: JournalArguments,
    #[command(flatten)]
    pub(crate) consent: Consent,
}

#[derive(Debug, Args)]
pub(crate) struct Abort {
    /// Id of the rotation to undo
    #[arg(value_name = "ROTATION")]
    pub(crate) rotation: RotationId,
    /// Reason, which the journal records
    #[arg(long, default_value = "aborted by hand")]
    pub(crate) reason: String,
    /// Leave the destination as it is, and only retire the new key
    ///
    /// Use this option if somebody else has put another secret there.
    #[arg(long)]
    pub(crate) leave_destination: bool,
    #[command(flatten)]
    pub(crate) rotator: RotatorArguments,
    #[command(flatten)]
    pub(crate) consent: Consent,
}

#[derive(Debug, Args)]
pub(crate) struct Sweep {
    /// Provider whose keys to check, such as spartera or monad; all providers if omitted
    pub(crate) provider: Option<String>,
    /// Delete the keys whose rotation is in the journal and whose secret is in no destination
    #[arg(long)]
    pub(crate) retire: bool,
    /// Destination to search for secrets, written as for `rotate`
    ///
    /// The command keeps a key whose secret is there. You can give this option several times.
    #[arg(long = "in", value_name = "DEST")]
    pub(crate) destinations: Vec<Target>,
    /// With --retire, also delete keys whose mark is not in the journal
    ///
    /// The command deletes such a key only if the vendor's masked secret shows that no --in destination holds the key's
    /// secret.
    #[arg(long, requires_all = ["retire", "destinations"])]
    pub(crate) even_unknown: bool,
    #[command(flatten)]
    pub(crate) journal: JournalArguments,
    #[command(flatten)]
    pub(crate) consent: Consent,
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::arguments::{Arguments, Command};

    /// Returns the request for a rotation with these options.
    fn request(options: &[&str]) -> RotateKey {
        let rotate = ["api-keyring", "rotate", "spartera/1", "--to", "file:/x"];
        match Arguments::try_parse_from([&rotate, options].concat()).map(|arguments| arguments.command) {
            Ok(Command::Rotate(rotate)) => rotate.request(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_part_of_a_second_is_not_no_time_at_all() {
        for (time, seconds) in [("0s", 0), ("1ns", 1), ("500ms", 1), ("1s", 1), ("1s 1ms", 2)] {
            let options = [
                "--grace",
                "--settle",
                "--verify-within",
                "--confirm-within",
                "--use-lag",
                "--clock-tolerance",
                "--unused-for",
            ];
            let request = request(&options.map(|option| [option, time]).concat());
            let timing = request.timing;
            let kept = [
                timing.grace_seconds,
                timing.settle_seconds,
                timing.verify_seconds,
                timing.confirm_seconds,
                timing.use_lag_seconds,
                timing.clock_seconds,
            ];
            assert_eq!(kept, [seconds; 6], "{time}");
            assert_eq!(request.unused_for, Some(Duration::from_secs(seconds)), "{time}");
        }
        assert_eq!(request(&["--poll", "1500us"]).timing.poll_millis, 2);
        assert_eq!(request(&["--expires-in", "500ms"]).expiry, Some(Expiry::In(TimeDelta::seconds(1))));
    }
}
