//! The way of a request: route, body, operation, record, response.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use fastrand::Rng;
use hyper::body::Incoming;
use hyper::header::HeaderMap;
use hyper::http::request::Parts;
use hyper::{Request, Response};

use crate::clock::Clock;
use crate::http::{self, Answer, Body};
use crate::lock;
use crate::monad::{self, Organization};
use crate::record::{Record, SeenRequest, masked_credential};
use crate::refusal::Refusal;
use crate::route::{self, Provider, Route};
use crate::secret;
use crate::settings::Settings;
use crate::spartera::{self, Company};

/// Both services, with all that they remember.
pub(crate) struct Service {
    pub(crate) settings: Settings,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) company: Mutex<Company>,
    pub(crate) organization: Mutex<Organization>,
    pub(crate) record: Mutex<Record>,
}

/// What an operation sees of its request.
pub(crate) struct Question<'a> {
    pub(crate) headers: &'a HeaderMap,
    pub(crate) query: Option<&'a str>,
    pub(crate) body: &'a [u8],
    pub(crate) now: DateTime<Utc>,
}

/// What has become of a request.
pub(crate) struct Handled {
    /// The id of the key that asked, once it is known.
    pub(crate) caller: Option<String>,
    pub(crate) result: Result<Answer, Refusal>,
}

impl Service {
    pub(crate) fn new(settings: Settings, clock: Arc<dyn Clock>, mut rng: Rng, record_limit: usize) -> Self {
        let now = clock.now();
        Self {
            company: Mutex::new(Company::new(settings.clone(), rng.fork(), now)),
            organization: Mutex::new(Organization::new(settings.clone(), rng.fork(), now)),
            record: Mutex::new(Record::new(record_limit)),
            settings,
            clock,
        }
    }

    pub(crate) async fn respond(&self, request: Request<Incoming>) -> Response<Body> {
        let (head, body) = request.into_parts();
        let route = route::find(&head.method, head.uri.path());
        let received = http::receive(&head.headers, body).await;
        let now = self.clock.now();
        let handled = self.handle(&route, &head, received.content, now);
        let answer = match handled.result {
            Ok(answer) => answer,
            Err(refusal) => self.refused(route.provider, &refusal),
        };
        lock(&self.record).push(SeenRequest {
            time: now,
            provider: route.provider,
            operation: route.call.ok().map(|call| call.operation),
            method: head.method.to_string(),
            target: secret::redact(head.uri.path_and_query().map_or("", |target| target.as_str())),
            status: answer.status.as_u16(),
            credential: masked_credential(&head.headers),
            authenticated_as: handled.caller,
            headers: head.headers.keys().map(|name| name.as_str().to_owned()).collect(),
            body_size: received.size,
        });
        answer.into_response()
    }

    fn handle(&self, route: &Route, head: &Parts, body: Result<Bytes, Refusal>, now: DateTime<Utc>) -> Handled {
        let refused = |refusal| Handled { caller: None, result: Err(refusal) };
        let call = match &route.call {
            Ok(call) => call,
            Err(refusal) => return refused(refusal.clone()),
        };
        let body = match body {
            Ok(body) => body,
            Err(refusal) => return refused(refusal),
        };
        let question = Question { headers: &head.headers, query: head.uri.query(), body: &body, now };
        match route.provider {
            Some(Provider::Spartera) => lock(&self.company).handle(call, &question),
            Some(Provider::Monad) => lock(&self.organization).handle(call, &question),
            None => refused(Refusal::PathNotFound),
        }
    }

    fn refused(&self, provider: Option<Provider>, refusal: &Refusal) -> Answer {
        match provider {
            Some(Provider::Monad) => monad::refused(&self.settings, refusal),
            // A path of neither service has to be answered somehow.
            Some(Provider::Spartera) | None => spartera::refused(refusal),
        }
    }
}
