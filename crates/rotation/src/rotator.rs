//! Plans, starts, resumes and aborts rotations.

use std::fmt;
use std::future::pending;
use std::iter::zip;
use std::sync::Arc;
use std::time::Duration;

use api_keyring::{Clock, ListKeys, Mark, Provider, ProviderExt as _, SecretProbe, SharedSecret, SystemClock};
use futures_util::TryStreamExt as _;
use futures_util::future::{BoxFuture, FutureExt as _, Shared};

use super::engine::{AbortSink, Run};
use super::host::{is_same_sink, shown_names};
use super::plan::{Holdings, OldKey};
use super::{
    Journal, JournalError, Lease, OwnCredential, Plan, Record, RotateError, RotateKey, RotationId, Sink, SinkContent,
    State, Strategy,
};

/// Rotates keys of one provider into one sink, with a journal.
///
/// A rotation may be interrupted at any moment. Any rotator with the same provider, sink and journal can
/// [`resume`](Self::resume) it, in this process or another.
#[derive(Clone)]
pub struct Rotator {
    pub(super) provider: Arc<dyn Provider>,
    pub(super) sink: Arc<dyn Sink>,
    pub(super) journal: Arc<dyn Journal>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) patience: Duration,
    /// Ends when the rotator is cancelled.
    pub(super) cancelled: Shared<BoxFuture<'static, ()>>,
    pub(super) observe: Arc<dyn Fn(&Record) + Send + Sync>,
    /// How the vendor answers secrets. Clones share what it has found out.
    pub(super) probe: SecretProbe,
    /// The secret that the provider authenticates with, if it can be replaced.
    pub(super) own: Option<SharedSecret>,
    holder: String,
    lease: Duration,
}

impl Rotator {
    /// Creates a rotator for keys of `provider` whose secrets are in `sink`. It records its rotations in `journal`.
    pub fn new(provider: impl Provider + 'static, sink: impl Sink + 'static, journal: impl Journal + 'static) -> Self {
        Self {
            provider: Arc::new(provider),
            sink: Arc::new(sink),
            journal: Arc::new(journal),
            clock: Arc::new(SystemClock),
            patience: Duration::from_secs(60),
            cancelled: pending().boxed().shared(),
            observe: Arc::new(|_| {}),
            probe: SecretProbe::new(),
            own: None,
            holder: format!("process {}", std::process::id()),
            lease: Duration::from_secs(300),
        }
    }

    /// Sets the clock that tells the time and waits. The default is the machine's.
    ///
    /// The provider counts the lifetimes of new keys by a clock of its own. Give it the same clock: its builder has a
    /// method `clock`, too.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock + 'static) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Sets how long each resume waits in all for the end of the grace and for evidence of use. The default is one
    /// minute.
    ///
    /// The rotator leaves a longer wait to a later [`resume`](Self::resume).
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Cancels every rotation of this rotator when `cancelled` completes. A rotation stops between two steps, where
    /// nothing is lost.
    #[must_use]
    pub fn cancel_when(mut self, cancelled: impl Future<Output = ()> + Send + 'static) -> Self {
        self.cancelled = cancelled.boxed().shared();
        self
    }

    /// Calls `observe` after each step, with the new record.
    #[must_use]
    pub fn observe(mut self, observe: impl Fn(&Record) + Send + Sync + 'static) -> Self {
        self.observe = Arc::new(observe);
        self
    }

    /// Sets the [shared secret](api_keyring::SharedSecret) that the provider authenticates with.
    ///
    /// If the rotator rotates the key of this secret, it also replaces the shared secret with the new one. With
    /// overlap, it does so once the vendor refuses the old secret; in place, once the new secret is the sink's current
    /// one.
    #[must_use]
    pub fn own_credential(mut self, secret: SharedSecret) -> Self {
        self.own = Some(secret);
        self
    }

    /// Sets the name that other rotators see while this one holds a lease. The default is this process's id.
    #[must_use]
    pub fn holder(mut self, name: impl Into<String>) -> Self {
        self.holder = name.into();
        self
    }

    /// Sets how long the lease lasts after each step. The default is five minutes, and the longest time is
    /// [a day](crate::MAX_LEASE). If this process dies, others wait until its lease ends before they take over. On
    /// Linux, a journal in a file knows when a process of the same machine and container is gone, and then they do not
    /// wait.
    ///
    /// It must be longer than the longest call to the vendor, with all its [retries](api_keyring::Retry).
    #[must_use]
    pub fn lease(mut self, time: Duration) -> Self {
        self.lease = time;
        self
    }

    pub(super) fn lease_time(&self) -> Duration {
        self.lease
    }

    /// Returns the same rotator for another sink.
    #[must_use]
    pub fn with_sink(&self, sink: impl Sink + 'static) -> Self {
        Self { sink: Arc::new(sink), ..self.clone() }
    }

    /// Plans a rotation, and changes nothing.
    ///
    /// # Errors
    ///
    /// - [`RotateError::Refused`] if the key cannot be rotated as requested, the sink does not hold its secret, or the
    ///   clock is wrong.
    /// - [`JournalError::UnderWay`] if the sink holds another secret because the key is being rotated.
    /// - The errors of the sink, of the journal, and of [`Provider::get`].
    pub async fn plan(&self, rotate: &RotateKey) -> Result<Plan, RotateError> {
        let key = self.provider.get(&rotate.key).await?;
        self.check_clock(&key, &rotate.timing)?;
        let findings = self.findings(key, rotate.adoption()).await?;
        let (in_sink, own_credential) = (findings.in_sink, findings.own_credential);
        let plan = Plan::new(&*self.provider, &findings, rotate)?;
        if !rotate.adopt_sink && in_sink != SinkContent::OldSecret {
            return Err(self.refuse_sink(&plan).await);
        }
        if let Some(unused) = plan.unused_for {
            self.check_usage_is_shown(&plan, unused).await?;
        }
        if plan.strategy == Strategy::InPlace && !rotate.even_own && own_credential != OwnCredential::No {
            let problem = match own_credential {
                OwnCredential::Yes => "is your own credential",
                _ => "may be your own credential",
            };
            return Err(RotateError::Refused(format!(
                "{}: key {} {problem}, and a lost answer would lock you out. Rotate it with a new key (leave out \
                 `--in-place`), or accept the risk (`--even-own`)",
                plan.provider, plan.old.id
            )));
        }
        Ok(plan)
    }

    /// Records that a plan is about to be carried out. [`resume`](Self::resume) carries it out.
    ///
    /// It checks first that the key is as planned and that the sink is ready.
    ///
    /// # Errors
    ///
    /// - [`RotateError::Refused`] if the key or the sink's content has changed since the plan, or the plan is for
    ///   another provider or sink.
    /// - The journal's errors if the key is already being rotated, or was issued by an unfinished rotation.
    /// - The errors of the sink, and of [`Provider::get`].
    pub async fn start(&self, mut plan: Plan) -> Result<Record, RotateError> {
        self.check_ours(&plan)?;
        let key = self.provider.get(&plan.old.id).await?;
        self.check_clock(&key, &plan.timing)?;
        if !plan.old.is_unchanged(&OldKey::from(&key)) {
            return Err(RotateError::Refused(format!(
                "{}: key {} has changed since the plan was made. Make another plan",
                plan.provider, plan.old.id
            )));
        }
        plan.old = OldKey::from(&key);
        let held = self.held(key.id()).await?;
        let (in_sink, _) = self.look_into_sink(&key, &held, plan.in_sink.adoption()).await?;
        if in_sink != plan.in_sink || plan.holdings.as_ref().is_some_and(|holdings| !holdings.are_held(&held)) {
            return Err(RotateError::Refused(format!(
                "{}: key {}: the content of {} has changed since the plan was made. Make another plan",
                plan.provider,
                plan.old.id,
                shown_names(&*self.sink)
            )));
        }
        plan.holdings.get_or_insert_with(|| Holdings::new(Mark::random(), &held));
        if plan.strategy == Strategy::InPlace {
            plan.namesakes.clear();
            let mut keys = self.provider.list(ListKeys::new());
            while let Some(other) = keys.try_next().await? {
                if other.name() == key.name() && other.id() != key.id() {
                    plan.namesakes.push(other.id().clone());
                }
            }
        }
        self.begin(plan).await
    }

    async fn begin(&self, plan: Plan) -> Result<Record, RotateError> {
        // A key that another rotation issued belongs to that rotation until it is finished.
        if let Some(mark) = plan.old.name.as_deref().and_then(Mark::from_name)
            && let Some(other) = self.journal.find_by_mark(&mark).await?
            && !other.state.is_finished()
        {
            return Err(JournalError::UnderWay(other.id).into());
        }
        self.sink_expecting(plan.holdings.as_ref()).check().await.map_err(|error| self.sink_error(error))?;
        let record = Record::new(plan, self.clock.now());
        self.journal.begin(&record).await?;
        Ok(record)
    }

    /// Continues a rotation until it is finished, needs attention, or has to wait longer than this rotator's patience.
    ///
    /// Returns the record, whose state shows which of these it was.
    ///
    /// # Errors
    ///
    /// The error of the step that failed. Fix the cause and resume again. [`JournalError::Held`] if another rotator
    /// works on it.
    pub async fn resume(&self, id: &RotationId) -> Result<Record, RotateError> {
        let mut run = self.take(id).await?;
        let driven = run.drive().await;
        run.finish(driven).await
    }

    /// Aborts a rotation: the sink gets the old secret back, and the new key is retired.
    ///
    /// # Errors
    ///
    /// - [`RotateError::Refused`] if there is no way back, because the old key is being retired or is gone.
    /// - Those of [`resume`](Self::resume), which continues an interrupted abort.
    pub async fn abort(&self, id: &RotationId, why: &str) -> Result<Record, RotateError> {
        self.decide(id, async |run| run.decide_abort(why, AbortSink::Restore).await).await
    }

    /// Aborts a rotation whose sink holds a secret that somebody else has put there. That secret stays, the old key
    /// stays as it is, and the new key is retired.
    ///
    /// In a [set](crate::SinkSet), the sinks that hold the new key's secret get the old one back.
    ///
    /// # Errors
    ///
    /// - [`RotateError::Refused`] if the sink, or every sink of the set, holds the new key's secret. Use
    ///   [`abort`](Self::abort) then.
    /// - [`RotateError::Refused`] if a sink of the set holds the new key's secret, and the old one no longer works.
    /// - Those of [`resume`](Self::resume), which continues an interrupted abort.
    pub async fn abort_leaving_sink(&self, id: &RotationId, why: &str) -> Result<Record, RotateError> {
        self.decide(id, async |run| run.decide_abort(why, AbortSink::Leave).await).await
    }

    /// Resumes a rotation without the evidence that it waits for. The journal keeps the reason.
    ///
    /// Before the old key is retired, this waives the evidence of use. After that, it waives the confirmation that the
    /// old secret is refused.
    ///
    /// # Errors
    ///
    /// - [`RotateError::Refused`] if no evidence is missing, or the reason is blank.
    /// - Those of [`resume`](Self::resume).
    pub async fn waive_evidence(&self, id: &RotationId, why: &str) -> Result<Record, RotateError> {
        self.decide(id, async |run| run.waive(why).await).await
    }

    /// Resumes a rotation that needs attention because its sink does not hold what it held when the rotation was
    /// planned. The rotation replaces what the sink holds now, and never treats it as the old secret.
    ///
    /// An abort that cannot write the sink is given up by this, if the sink holds the new key's secret: the rotation then
    /// continues.
    ///
    /// # Errors
    ///
    /// - [`RotateError::Refused`] if the rotation does not need attention for that reason, or the sink holds anything
    ///   but one secret.
    /// - Those of [`resume`](Self::resume).
    pub async fn adopt_sink(&self, id: &RotationId) -> Result<Record, RotateError> {
        self.decide(id, async |run| run.adopt().await).await
    }

    /// Records a person's decision, and resumes.
    async fn decide(
        &self,
        id: &RotationId,
        decide: impl AsyncFnOnce(&mut Run<'_>) -> Result<(), RotateError>,
    ) -> Result<Record, RotateError> {
        let mut run = self.take(id).await?;
        let driven = match decide(&mut run).await {
            Ok(()) => run.drive().await,
            Err(error) => Err(error),
        };
        run.finish(driven).await
    }

    /// Plans a rotation, starts it and carries it out.
    ///
    /// # Errors
    ///
    /// Those of [`plan`](Self::plan), [`start`](Self::start) and [`resume`](Self::resume).
    pub async fn rotate(&self, rotate: &RotateKey) -> Result<Record, RotateError> {
        self.carry_out(self.plan(rotate).await?).await
    }

    /// Starts a plan that was made a moment ago, and carries it out.
    async fn carry_out(&self, plan: Plan) -> Result<Record, RotateError> {
        let record = self.start_at_once(plan).await?;
        self.resume(&record.id).await
    }

    /// Starts a plan that was made a moment ago.
    pub(super) async fn start_at_once(&self, plan: Plan) -> Result<Record, RotateError> {
        match plan.strategy {
            // The journal refuses to replace a key twice, so this needs no second look at the key.
            Strategy::Overlap => self.begin(plan).await,
            Strategy::InPlace => self.start(plan).await,
        }
    }

    /// Takes the lease on a rotation, and reads its record.
    pub(super) async fn lease_of(&self, id: &RotationId) -> Result<(Lease, Record), RotateError> {
        let lease = self.journal.take(id, &self.holder, self.lease).await?;
        match self.journal.load(id).await {
            Ok(Some(record)) => Ok((lease, record)),
            failed => {
                // Others need not wait until the lease ends, unless it tells them that a process was interrupted.
                if !lease.is_takeover {
                    drop(self.journal.release(&lease).await);
                }
                Err(failed.err().unwrap_or_else(|| JournalError::Missing(id.clone())).into())
            }
        }
    }

    async fn take(&self, id: &RotationId) -> Result<Run<'_>, RotateError> {
        let (lease, record) = self.lease_of(id).await?;
        let mut run = Run::new(self, lease, record);
        let checked = check_state(&run.record);
        if checked.is_ok() {
            // Until this is on record, only the lease tells of the interruption. So a failure does not release it.
            run.record_interruption().await?;
        }
        match checked.and_then(|()| self.check_ours(&run.record.plan)) {
            Ok(()) => Ok(run),
            Err(error) => {
                run.release().await;
                Err(error)
            }
        }
    }

    fn check_ours(&self, plan: &Plan) -> Result<(), RotateError> {
        let (vendor, scope) = (self.provider.vendor(), self.provider.scope());
        if (&*plan.vendor, &*plan.scope) != (vendor, scope) {
            return Err(RotateError::Refused(format!(
                "the rotation is for a key of {0} {1}, but this provider is {vendor} {scope}. Use a provider for \
                 {0} {1}",
                plan.vendor, plan.scope
            )));
        }
        let ours = self.sink.names();
        let is_same =
            plan.sinks.len() == ours.len() && zip(&plan.sinks, &ours).all(|(one, other)| is_same_sink(one, other));
        if !is_same {
            let (planned, ours) = (plan.shown_sinks(), shown_names(&*self.sink));
            return Err(RotateError::Refused(format!(
                "the rotation is for the destination {planned}, but this one is {ours}. Use the destination that the \
                 rotation began with: `status` shows it"
            )));
        }
        Ok(())
    }

    /// Returns the sink as one that does not write if its access has changed since the rotation was planned.
    pub(super) fn sink_expecting(&self, holdings: Option<&Holdings>) -> Arc<dyn Sink> {
        let access = holdings.map(Holdings::access);
        let expecting = access.and_then(|access: Vec<_>| self.sink.expecting(&access));
        expecting.unwrap_or_else(|| Arc::clone(&self.sink))
    }

    pub(super) fn sink_error(&self, error: super::SinkError) -> RotateError {
        RotateError::Sink { sink: shown_names(&*self.sink), error }
    }
}

/// Refuses a journal with a state that the rotation's strategy does not have.
fn check_state(record: &Record) -> Result<(), RotateError> {
    match (record.plan.strategy, record.state.underlying()) {
        (Strategy::InPlace, state @ (State::Verified(_) | State::Retiring(_))) => Err(RotateError::Refused(format!(
            "rotation {}: the journal says {}, a state that a rotation in place never has. Check the journal",
            record.id,
            state.name()
        ))),
        _ => Ok(()),
    }
}

impl fmt::Debug for Rotator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rotator")
            .field("provider", &self.provider)
            .field("sink", &self.sink.name())
            .field("holder", &self.holder)
            .finish_non_exhaustive()
    }
}
