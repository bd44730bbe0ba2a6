//! The HTTP that both services share: it reads request bodies and turns answers into responses.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::{Body as _, Incoming};
use hyper::header::{ALLOW, CONNECTION, CONTENT_TYPE, EXPECT, HeaderMap, HeaderValue};
use hyper::{Response, StatusCode};
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::sync::Notify;

use crate::budget::{Budget, Share};
use crate::connection::Connection;
use crate::fault::{Body, Delivery, OddRow};
use crate::refusal::Refusal;

/// The longest body that the emulator reads. It is far more than any operation needs.
pub(crate) const BODY_LIMIT: usize = 1 << 20;

/// How much of an oversized body the emulator reads and discards before it answers.
///
/// If the connection closes while the client still sends, the client may see a reset instead of the 413.
const DISCARD_LIMIT: usize = 16 << 20;

/// How long a body may take to arrive.
const BODY_TIME: Duration = Duration::from_secs(30);

/// A service's answer, before it becomes an HTTP response.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) content_type: Option<HeaderValue>,
    /// The other headers.
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) delivery: Delivery,
}

impl Answer {
    /// Returns a 200 with this body.
    pub(crate) fn ok(body: &(impl Serialize + ?Sized)) -> Self {
        Self::json(StatusCode::OK, body, 128)
    }

    /// Returns a 200 with an object: an optional message, the rows in the field `name`, and another optional field. A
    /// fault may make one row odd.
    ///
    /// This function writes the JSON itself, into a buffer that has the final size. Client benchmarks request lists,
    /// and for rows that are already JSON a serializer takes longer than the rest of the service.
    pub(crate) fn list<'a>(
        message: Option<&str>,
        name: &str,
        rows: impl Iterator<Item = &'a RawValue> + Clone,
        odd: Option<OddRow>,
        after: Option<(&str, &impl Serialize)>,
    ) -> Self {
        let length: usize = rows.clone().map(|row| row.get().len() + 1).sum();
        let mut body = Vec::with_capacity(length + 192);
        let mut opening = b"{".as_slice();
        let mut field = |body: &mut Vec<u8>, name: &str| {
            body.extend_from_slice(std::mem::replace(&mut opening, b","));
            // Writing text to memory cannot fail.
            let _ = serde_json::to_writer(&mut *body, name);
            body.push(b':');
        };
        if let Some(message) = message {
            field(&mut body, "message");
            let _ = serde_json::to_writer(&mut body, message);
        }
        field(&mut body, name);
        let odd = odd.and_then(|odd| odd.of(rows.clone()));
        let mut separator = b"[".as_slice();
        for (index, row) in rows.enumerate() {
            body.extend_from_slice(std::mem::replace(&mut separator, b","));
            body.extend_from_slice(match &odd {
                Some((at, odd)) if *at == index => odd,
                _ => row.get().as_bytes(),
            });
        }
        body.extend_from_slice(if separator == b"[" { b"[]" } else { b"]" });
        if let Some((name, value)) = after {
            field(&mut body, name);
            let _ = serde_json::to_writer(&mut body, value);
        }
        body.push(b'}');
        Self::from_json(StatusCode::OK, body)
    }

    /// Returns the error for `refusal` with this body.
    pub(crate) fn refused(refusal: &Refusal, body: &impl Serialize) -> Self {
        let mut answer = Self::json(refusal.status(), body, 128);
        if let Refusal::MethodNotAllowed { allow } = refusal
            && let Ok(allow) = HeaderValue::try_from(allow)
        {
            answer.headers.insert(ALLOW, allow);
        }
        if refusal.leaves_unread_body() {
            answer.headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        answer
    }

    /// Returns an answer without a body.
    pub(crate) fn empty(status: StatusCode) -> Self {
        Self { body: Bytes::new(), ..Self::json(status, &(), 0) }
    }

    /// Writes `body` as JSON. `capacity` is the expected length.
    fn json(status: StatusCode, body: &(impl Serialize + ?Sized), capacity: usize) -> Self {
        let mut written = Vec::with_capacity(capacity);
        let (status, body) = match serde_json::to_writer(&mut written, body) {
            Ok(()) => (status, written),
            Err(_) => (StatusCode::INTERNAL_SERVER_ERROR, Vec::new()),
        };
        Self::from_json(status, body)
    }

    fn from_json(status: StatusCode, body: Vec<u8>) -> Self {
        Self {
            status,
            content_type: Some(HeaderValue::from_static("application/json")),
            headers: HeaderMap::new(),
            body: body.into(),
            delivery: Delivery::Whole,
        }
    }

    /// Returns the response, which goes over `connection`.
    pub(crate) fn into_response(self, connection: &Arc<Connection>, budget: &Arc<Budget>) -> Response<Body> {
        let mut response = Response::new(Body::new(self.body, self.delivery, connection, budget));
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        if let Some(content_type) = self.content_type {
            response.headers_mut().insert(CONTENT_TYPE, content_type);
        }
        response
    }
}

/// The part of a request's body that the emulator has read.
pub(crate) struct ReceivedBody {
    pub(crate) size: usize,
    pub(crate) content: Result<Bytes, Refusal>,
    /// What the content holds of the budget for all bodies.
    pub(crate) share: Option<Share>,
}

/// Reads the body, within limits of size and time. All bodies together share `budget`.
pub(crate) async fn receive(headers: &HeaderMap, body: Incoming, budget: &Arc<Budget>) -> ReceivedBody {
    if body.is_end_stream() {
        return ReceivedBody { size: 0, content: Ok(Bytes::new()), share: None };
    }
    let announced = body.size_hint().lower();
    // The client waits for `100 Continue` before it sends, and gets the refusal instead.
    let waiting = headers.contains_key(EXPECT) && announced > BODY_LIMIT as u64;
    if waiting || announced > DISCARD_LIMIT as u64 {
        return ReceivedBody { size: 0, content: Err(Refusal::BodyTooLarge), share: None };
    }
    let mut size = 0;
    let given_up = Arc::new(Notify::new());
    let share = budget.share({
        let given_up = Arc::clone(&given_up);
        move || given_up.notify_one()
    });
    let content = tokio::select! {
        // A body that is complete counts, even if the budget has just given it up.
        biased;
        content = read(body, &mut size, &share) => content,
        () = given_up.notified() => Err(Refusal::TooManyBodies),
        () = tokio::time::sleep(BODY_TIME) => Err(Refusal::BodyTooSlow),
    };
    share.keep();
    ReceivedBody { size, content, share: Some(share) }
}

async fn read(mut body: Incoming, size: &mut usize, share: &Share) -> Result<Bytes, Refusal> {
    let mut content = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Refusal::BodyBroken)?;
        let Ok(data) = frame.into_data() else { continue };
        *size += data.len();
        if *size > DISCARD_LIMIT {
            break;
        }
        if *size <= BODY_LIMIT {
            if !share.grow(data.len()) {
                return Err(Refusal::TooManyBodies);
            }
            content.extend_from_slice(&data);
        }
    }
    if *size > BODY_LIMIT {
        return Err(Refusal::BodyTooLarge);
    }
    Ok(content.freeze())
}
