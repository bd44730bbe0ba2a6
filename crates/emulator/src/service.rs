//! Handles a request: route, body, operation, record, response.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use fastrand::Rng;
use hyper::body::Incoming;
use hyper::header::{CONNECTION, HeaderMap, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Request, Response};
use tokio::sync::Semaphore;

use crate::budget::Budget;
use crate::changes::{Changes, StateChange};
use crate::clock::Clock;
use crate::connection::{Connection, End};
use crate::connection_gate::ConnectionGate;
use crate::fault::{self, AnswerFault, Body, Effects, ErrorStatus, ExchangeFault, Fault, FaultSchedule, Plan};
use crate::held_up::{HeldUpWrite, HeldUpWrites};
use crate::http::{self, Answer, ReceivedBody};
use crate::inventory::ExistingKey;
use crate::lock;
use crate::monad::{self, Organization};
use crate::record::{Observer, Record, SeenRequest, masked_credential};
use crate::refusal::Refusal;
use crate::route::{self, Provider, Route};
use crate::secret;
use crate::settings::Settings;
use crate::spartera::{self, Company};
use crate::state::{Services, State};

/// Both services and their state.
pub(crate) struct Service {
    pub(crate) settings: Settings,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) company: Mutex<Company>,
    pub(crate) organization: Mutex<Organization>,
    pub(crate) record: Mutex<Record>,
    changes: Arc<Changes>,
    pub(crate) schedule: Mutex<FaultSchedule>,
    pub(crate) gate: ConnectionGate,
    held_up: HeldUpWrites,
    /// Bounds what all bodies hold together.
    pub(crate) bodies: Arc<Budget>,
    /// Bounds how many requests wait for a delay.
    delayed: Arc<Semaphore>,
    /// Whether the emulator has stopped, so that delayed requests do nothing.
    pub(crate) is_stopped: AtomicBool,
    observer: Option<Observer>,
}

/// The parts of a request that an operation reads.
pub(crate) struct OperationInput<'a> {
    pub(crate) headers: &'a HeaderMap,
    pub(crate) query: Option<&'a str>,
    pub(crate) body: &'a [u8],
    pub(crate) now: DateTime<Utc>,
    pub(crate) effects: &'a Effects,
}

/// The result of an operation.
pub(crate) struct OperationOutput {
    /// The id of the authenticated key, if the service has accepted the credential.
    pub(crate) caller: Option<String>,
    pub(crate) result: Result<Answer, Refusal>,
}

/// How many delayed requests there may be for each connection.
const DELAYED_PER_CONNECTION: usize = 4;

fn delays(settings: &Settings) -> Arc<Semaphore> {
    let delays = settings.connections.max(1).saturating_mul(DELAYED_PER_CONNECTION);
    Arc::new(Semaphore::new(delays.min(Semaphore::MAX_PERMITS)))
}

impl Service {
    pub(crate) fn new(
        settings: Settings,
        clock: Arc<dyn Clock>,
        mut rng: Rng,
        record_limit: usize,
        observer: Option<Observer>,
        faults: Vec<Fault>,
        Services { spartera, monad }: Services,
    ) -> Self {
        let now = clock.now();
        let changes = Arc::new(Changes::new(record_limit));
        Self {
            company: Mutex::new(Company::restore(settings.clone(), rng.fork(), Arc::clone(&changes), spartera, now)),
            organization: Mutex::new(Organization::restore(
                settings.clone(),
                rng.fork(),
                Arc::clone(&changes),
                monad,
                now,
            )),
            record: Mutex::new(Record::new(record_limit)),
            changes,
            schedule: Mutex::new(FaultSchedule::new(faults, rng.fork())),
            gate: ConnectionGate::new(),
            held_up: HeldUpWrites::default(),
            bodies: Arc::default(),
            delayed: delays(&settings),
            is_stopped: AtomicBool::new(false),
            observer,
            settings,
            clock,
        }
    }

    /// Returns the response to a request over `connection`, or `None` to reset the connection.
    pub(crate) async fn respond(
        self: &Arc<Self>,
        request: Request<Incoming>,
        connection: &Arc<Connection>,
    ) -> Option<Response<Body>> {
        let (head, body) = request.into_parts();
        let route = route::find(&head.method, head.uri.path());
        let received = http::receive(&head.headers, body, &self.bodies).await;
        let mut plan = match (route.provider, &route.call) {
            (Some(provider), Ok(call)) => lock(&self.schedule).plan(provider, call.operation, self.clock.now()),
            _ => Plan::default(),
        };
        // The client of a delayed request may be gone, so the number of connections does not bound their number.
        let mut waiting = plan.delay.and_then(|_| Arc::clone(&self.delayed).try_acquire_owned().ok());
        if plan.delay.is_some() && waiting.is_none() {
            plan.exchange = Some(ExchangeFault::StatusBefore(ErrorStatus::new(503)));
        }
        let wire = plan.exchange.clone();
        let answer = match plan.delay.filter(|_| waiting.is_some()) {
            None => self.act(&route, &head, received, plan),
            Some(delay) => {
                // A separate task, because the service acts even if the client gives up and the connection ends. The
                // task ends with the emulator.
                let service = Arc::downgrade(self);
                let waiting = waiting.take();
                let acting = async move {
                    let _waiting = waiting;
                    tokio::time::sleep(delay).await;
                    let service = service.upgrade().filter(|service| !service.is_stopped.load(Ordering::Acquire))?;
                    service.act(&route, &head, received, plan)
                };
                tokio::spawn(acting).await.ok().flatten()
            }
        };
        if let Some(ExchangeFault::Refuse(span)) = wire {
            // The server ends this connection with all others, after it has stopped listening.
            connection.will_end(End::Reset);
            self.gate.refuse(Some(span));
            self.gate.accept_requested().await;
        }
        answer.map(|answer| answer.into_response(connection, &self.bodies))
    }

    /// Performs the request and records it. Returns `None` to reset the connection.
    fn act(&self, route: &Route, head: &Parts, received: ReceivedBody, plan: Plan) -> Option<Answer> {
        let now = self.clock.now();
        self.settle(now);
        let leaves_unread_body = received.content.as_ref().is_err_and(Refusal::leaves_unread_body);
        let body_size = received.size;
        let (caller, mut answer) = self.exchange(route, head, received, now, &plan);
        if let Some(answer) = answer.as_mut().filter(|_| leaves_unread_body) {
            // A fault may have replaced the refusal, but the unread body must never be parsed as a request.
            answer.headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        let seen = || SeenRequest {
            time: now,
            provider: route.provider,
            operation: route.call.as_ref().ok().map(|call| call.operation),
            method: secret::redact(head.method.as_str()),
            target: secret::redact(head.uri.path_and_query().map_or("", |target| target.as_str())),
            status: answer.as_ref().map_or(0, |answer| answer.status.as_u16()),
            credential: masked_credential(&head.headers),
            authenticated_as: caller,
            headers: head.headers.keys().map(|name| secret::redact(name.as_str())).collect(),
            body_size,
            faults: plan.applied,
        };
        match &self.observer {
            None => lock(&self.record).push(seen),
            Some(observer) => {
                // Notify before locking: the observer may read the requests, and may be slow.
                let seen = observer.notify(seen());
                lock(&self.record).push(|| seen);
            }
        }
        answer
    }

    /// Performs the request, distorted by `plan`.
    ///
    /// Returns the id of the authenticated key, if the service has accepted the credential. Returns no answer if the
    /// plan resets the connection.
    fn exchange(
        &self,
        route: &Route,
        head: &Parts,
        received: ReceivedBody,
        now: DateTime<Utc>,
        plan: &Plan,
    ) -> (Option<String>, Option<Answer>) {
        // The skew affects every date in the answer, but not the service's own time.
        let skewed = plan.clock_skew.and_then(|skew| now.checked_add_signed(skew)).unwrap_or(now);
        let (caller, answer) = match &plan.exchange {
            Some(ExchangeFault::ResetBefore | ExchangeFault::Refuse(_)) => (None, None),
            Some(ExchangeFault::StatusBefore(error)) => {
                (None, Some(self.injected_error(route.provider, *error, skewed)))
            }
            Some(ExchangeFault::Redirect(address)) => (None, Some(fault::redirect(address))),
            Some(ExchangeFault::Intermediary(intermediary)) => (None, Some(intermediary.answer())),
            Some(ExchangeFault::HeldUp(span)) => {
                let due = TimeDelta::from_std(*span).ok().and_then(|span| now.checked_add_signed(span));
                // A time that no clock reaches never comes.
                if let Some(due) = due {
                    let (route, head, effects) = (route.clone(), head.clone(), plan.effects);
                    let ReceivedBody { content: body, share, .. } = received;
                    self.held_up.push(HeldUpWrite { due, route, head, body, effects, _share: share });
                }
                (None, None)
            }
            Some(ExchangeFault::After(_)) | None => {
                let handled = self.handle(route, head, received.content, now, &plan.effects);
                let answer = match handled.result {
                    Ok(answer) => answer,
                    Err(refusal) => self.refused_by(route.provider, &refusal, plan),
                };
                let answer = match &plan.exchange {
                    Some(ExchangeFault::After(AnswerFault::Reset)) => None,
                    Some(ExchangeFault::After(AnswerFault::Status(error))) => {
                        Some(plan.distort(self.injected_error(route.provider, *error, skewed), now))
                    }
                    Some(ExchangeFault::After(AnswerFault::Intermediary(intermediary))) => Some(intermediary.answer()),
                    _ => Some(plan.distort(answer, now)),
                };
                (handled.caller, answer)
            }
        };
        let answer = answer.map(|mut answer| {
            fault::set_date(&mut answer.headers, skewed);
            answer
        });
        (caller, answer)
    }

    /// Carries out the held-up writes that are due at `now`, each at the time at which it was due.
    pub(crate) fn settle(&self, now: DateTime<Utc>) {
        if self.is_stopped.load(Ordering::Acquire) {
            return;
        }
        self.held_up.settle(now, |HeldUpWrite { due, route, head, body, effects, _share }| {
            // The client has lost the connection, so nobody reads the answer.
            let _ = self.handle(&route, &head, body, due, &effects);
        });
    }

    /// Returns the keys that exist: Spartera's, then Monad's, oldest first.
    pub(crate) fn keys(&self) -> Vec<ExistingKey> {
        let now = self.clock.now();
        self.settle(now);
        let mut keys = lock(&self.company).inventory(now);
        keys.extend(lock(&self.organization).inventory(now));
        keys
    }

    /// Returns the state of both services. A change can only happen between the two halves.
    pub(crate) fn state(&self) -> State {
        self.settle(self.clock.now());
        State(Services { spartera: lock(&self.company).state(), monad: lock(&self.organization).state() })
    }

    /// Returns the changes of the keys so far, oldest first within each service.
    pub(crate) fn changes(&self) -> Vec<StateChange> {
        self.settle(self.clock.now());
        self.changes.to_vec()
    }

    /// Forgets the changes so far.
    pub(crate) fn clear_changes(&self) {
        self.settle(self.clock.now());
        self.changes.clear();
    }

    /// Returns the error that a fault injects.
    fn injected_error(&self, provider: Option<Provider>, error: ErrorStatus, now: DateTime<Utc>) -> Answer {
        let mut answer = self.refused(provider, &error.refusal());
        error.add_headers(&mut answer.headers, now);
        answer
    }

    fn handle(
        &self,
        route: &Route,
        head: &Parts,
        body: Result<Bytes, Refusal>,
        now: DateTime<Utc>,
        effects: &Effects,
    ) -> OperationOutput {
        let refused = |refusal| OperationOutput { caller: None, result: Err(refusal) };
        let call = match &route.call {
            Ok(call) => call,
            Err(refusal) => return refused(refusal.clone()),
        };
        let body = match body {
            Ok(body) => body,
            Err(refusal) => return refused(refusal),
        };
        let input = OperationInput { headers: &head.headers, query: head.uri.query(), body: &body, now, effects };
        match route.provider {
            Some(Provider::Spartera) => lock(&self.company).handle(call, &input),
            Some(Provider::Monad) => lock(&self.organization).handle(call, &input),
            None => refused(Refusal::PathNotFound),
        }
    }

    /// Returns the answer for a refusal by the service or by what checks credentials in front of it.
    fn refused_by(&self, provider: Option<Provider>, refusal: &Refusal, plan: &Plan) -> Answer {
        match (refusal, plan.unknown_is_403) {
            (Refusal::Unauthenticated, Some(Some(form))) => fault::gateway(403, form),
            (Refusal::Unauthenticated, Some(None)) => self.refused(provider, &Refusal::NotPermitted),
            _ => self.refused(provider, refusal),
        }
    }

    /// Returns the answer for `refusal` in the form of `provider`.
    pub(crate) fn refused(&self, provider: Option<Provider>, refusal: &Refusal) -> Answer {
        match provider {
            Some(Provider::Monad) => monad::refused(&self.settings, refusal),
            // A path of neither service gets Spartera's form.
            Some(Provider::Spartera) | None => spartera::refused(refusal),
        }
    }
}
