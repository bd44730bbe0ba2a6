//! Planning, starting, resuming and aborting rotations.

use std::fmt;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use api_keyring::{Clock, ListKeys, Mark, Provider, ProviderExt as _, SharedSecret, SystemClock};
use futures_util::TryStreamExt as _;
use futures_util::future::{BoxFuture, FutureExt as _, Shared};

use super::engine::{AbortSink, Run};
use super::plan::OldKey;
use super::{
    Journal, JournalError, Lease, OwnCredential, Plan, Record, RotateError, RotateKey, RotationId, Sink, SinkContent,
    Strategy,
};

/// Rotates keys of one provider into one sink, with a journal.
///
/// It can be cut off at any moment: whoever has the same provider, sink and journal, in this process or another, finishes by
/// [`resume`](Self::resume).
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
    /// The secret that the provider authenticates with, where it can be replaced.
    pub(super) own: Option<SharedSecret>,
    holder: String,
    lease: Duration,
}

impl Rotator {
    /// Rotates keys of `provider`, whose secrets are in `sink`, and writes it down in `journal`.
    pub fn new(provider: impl Provider + 'static, sink: impl Sink + 'static, journal: impl Journal + 'static) -> Self {
        Self {
            provider: Arc::new(provider),
            sink: Arc::new(sink),
            journal: Arc::new(journal),
            clock: Arc::new(SystemClock),
            patience: Duration::from_secs(60),
            cancelled: pending().boxed().shared(),
            observe: Arc::new(|_| {}),
            own: None,
            holder: format!("process {}", std::process::id()),
            lease: Duration::from_secs(300),
        }
    }

    /// Reads the time and waits here: the machine's clock unless set.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock + 'static) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// How long a grace may take so that it is waited for: a minute unless set here. A longer one is left to a later
    /// [`resume`](Self::resume).
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Has every rotation that this rotator carries out stop when `stop` ends: between two steps, where nothing is lost.
    #[must_use]
    pub fn cancel_when(mut self, cancelled: impl Future<Output = ()> + Send + 'static) -> Self {
        self.cancelled = cancelled.boxed().shared();
        self
    }

    /// Calls this after each step, with what was written down of it.
    #[must_use]
    pub fn observe(mut self, observe: impl Fn(&Record) + Send + Sync + 'static) -> Self {
        self.observe = Arc::new(observe);
        self
    }

    /// The secret that the provider authenticates with, as it was [given](api_keyring::SharedSecret) to it. When the rotated key is its
    /// own, it is replaced by the new one when the old one is seen to be refused; in place, as soon as the new one is in the
    /// sink.
    #[must_use]
    pub fn own_credential(mut self, secret: SharedSecret) -> Self {
        self.own = Some(secret);
        self
    }

    /// What others are told who carries the rotation on: this process's number unless set here.
    #[must_use]
    pub fn holder(mut self, name: impl Into<String>) -> Self {
        self.holder = name.into();
        self
    }

    /// How long nobody else may carry a rotation on after each step: five minutes unless set here. It has to be longer than the
    /// longest call to the vendor, with all that a [`Retry`](api_keyring::Retry) makes of it.
    #[must_use]
    pub fn lease(mut self, time: Duration) -> Self {
        self.lease = time;
        self
    }

    /// The same, into another sink.
    #[must_use]
    pub fn with_sink(&self, sink: impl Sink + 'static) -> Self {
        Self { sink: Arc::new(sink), ..self.clone() }
    }

    /// What a rotation would do. Only reads.
    ///
    /// # Errors
    ///
    /// [`RotateError::Refused`] when the key cannot be rotated as asked, when the sink does not hold its secret, and when the clock
    /// is wrong; [`JournalError::UnderWay`] when the sink holds another secret and the key is being rotated; those of the sink, of
    /// the journal, and of [`Provider::get`].
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
            self.check_use_is_told(&plan, unused).await?;
        }
        if plan.strategy == Strategy::InPlace && !rotate.even_own && own_credential != OwnCredential::No {
            let problem = match own_credential {
                OwnCredential::Yes => "is the one that is used here",
                _ => "may be the one that is used here, as far as can be told",
            };
            return Err(RotateError::Refused(format!(
                "{}: key {} {problem}, and a lost answer would lock you out: rotate it by a new key, or allow it even if it \
                     is (even-own)",
                plan.provider, plan.old.id
            )));
        }
        Ok(plan)
    }

    /// Writes down that a plan is to be carried out, once the key is seen to be as it was planned for, and the sink to be
    /// ready. [`resume`](Self::resume) carries it out.
    ///
    /// # Errors
    ///
    /// [`RotateError::Refused`] when the key or what the sink holds has changed since, or the plan is for another provider or sink; those of the
    /// journal when the key is being rotated already, or was issued by a rotation that is not finished; those of the sink and of [`Provider::get`].
    pub async fn start(&self, mut plan: Plan) -> Result<Record, RotateError> {
        self.check_ours(&plan)?;
        let key = self.provider.get(&plan.old.id).await?;
        self.check_clock(&key, &plan.timing)?;
        if OldKey::from(&key) != plan.old {
            return Err(RotateError::Refused(format!(
                "{}: key {} has changed since the plan was made: make another",
                plan.provider, plan.old.id
            )));
        }
        let (in_sink, _) = self.look_into_sink(&key, plan.in_sink.adoption()).await?;
        if in_sink != plan.in_sink {
            return Err(RotateError::Refused(format!(
                "{}: key {}: what {} holds has changed since the plan was made: make another",
                plan.provider,
                plan.old.id,
                self.sink.name()
            )));
        }
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
        // A key that another rotation has issued belongs to that one until it is finished.
        if let Some(mark) = plan.old.name.as_deref().and_then(Mark::of_name)
            && let Some(other) = self.journal.of_mark(&mark).await?
            && !other.state.is_finished()
        {
            return Err(JournalError::UnderWay(other.id).into());
        }
        self.sink.check().await.map_err(|error| self.sink_error(error))?;
        let record = Record::new(plan, self.clock.now());
        self.journal.begin(&record).await?;
        Ok(record)
    }

    /// Carries a rotation on until it is finished, has to wait for longer than this rotator's patience, or needs a person:
    /// the record that it returns tells which.
    ///
    /// # Errors
    ///
    /// When a step fails. It can be resumed once the cause is mended. [`JournalError::Held`] when somebody else is at work.
    pub async fn resume(&self, id: &RotationId) -> Result<Record, RotateError> {
        let mut run = self.take(id).await?;
        let driven = run.drive().await;
        run.finish(driven).await
    }

    /// Undoes a rotation: the sink holds the old secret again, and what was issued is retired.
    ///
    /// # Errors
    ///
    /// [`RotateError::Refused`] when the old key is being retired or is gone, since then there is no way back; and those of
    /// [`resume`](Self::resume), which goes on undoing.
    pub async fn abort(&self, id: &RotationId, why: &str) -> Result<Record, RotateError> {
        self.decide(id, async |run| run.decide_abort(why, AbortSink::Restore).await).await
    }

    /// Undoes a rotation in whose sink somebody else has put another secret: that stays there, the old key stays as it is, and
    /// what was issued is retired.
    ///
    /// # Errors
    ///
    /// [`RotateError::Refused`] when the sink holds the new key's secret, which is what [`abort`](Self::abort) is for, or the old
    /// key is gone; and those of [`resume`](Self::resume), which goes on undoing.
    pub async fn abort_leaving_sink(&self, id: &RotationId, why: &str) -> Result<Record, RotateError> {
        self.decide(id, async |run| run.decide_abort(why, AbortSink::Leave).await).await
    }

    /// Goes on as [`resume`](Self::resume) does, and retires the old key although the vendor does not show that others use the
    /// new one, or that nobody uses the old one. Where the old key was retired already, goes on although it is not seen that
    /// its secret is refused. Why is written down.
    ///
    /// # Errors
    ///
    /// [`RotateError::Refused`] when the rotation waits for no such evidence, or no reason is given; and those of
    /// [`resume`](Self::resume).
    pub async fn waive_evidence(&self, id: &RotationId, why: &str) -> Result<Record, RotateError> {
        self.decide(id, async |run| run.waive(why).await).await
    }

    /// Writes a decision down, and goes on.
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

    /// Plans, starts and carries out, in one.
    ///
    /// # Errors
    ///
    /// Those of [`plan`](Self::plan), [`start`](Self::start) and [`resume`](Self::resume).
    pub async fn rotate(&self, rotate: &RotateKey) -> Result<Record, RotateError> {
        self.carry_out(self.plan(rotate).await?).await
    }

    /// Starts and carries out a plan that was made a moment ago.
    pub(super) async fn carry_out(&self, plan: Plan) -> Result<Record, RotateError> {
        let record = match plan.strategy {
            // The journal sees to it that a key is replaced once.
            Strategy::Overlap => self.begin(plan).await?,
            Strategy::InPlace => self.start(plan).await?,
        };
        self.resume(&record.id).await
    }

    /// Takes the lease on a rotation, and reads what is written of it.
    pub(super) async fn lease_of(&self, id: &RotationId) -> Result<(Lease, Record), RotateError> {
        let lease = self.journal.take(id, &self.holder, self.lease).await?;
        let record = self.journal.load(id).await?.ok_or_else(|| JournalError::Missing(id.clone()))?;
        Ok((lease, record))
    }

    async fn take(&self, id: &RotationId) -> Result<Run<'_>, RotateError> {
        let (lease, record) = self.lease_of(id).await?;
        let run = Run::new(self, lease, record);
        if let Err(error) = self.check_ours(&run.record.plan) {
            run.release().await;
            return Err(error);
        }
        Ok(run)
    }

    fn check_ours(&self, plan: &Plan) -> Result<(), RotateError> {
        let (vendor, scope) = (self.provider.vendor(), self.provider.scope());
        if (&*plan.vendor, &*plan.scope) != (vendor, scope) {
            return Err(RotateError::Refused(format!(
                "the rotation is of a key of {} {}, and this provider is {vendor} {scope}",
                plan.vendor, plan.scope
            )));
        }
        let (planned, ours) = (plan.sinks.join(" and "), self.sink.names().join(" and "));
        if planned != ours {
            return Err(RotateError::Refused(format!(
                "the rotation is for the sink {planned}, and this one is {ours}"
            )));
        }
        Ok(())
    }

    pub(super) fn sink_error(&self, error: super::SinkError) -> RotateError {
        RotateError::Sink { sink: self.sink.name(), error }
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
