//! Distorted answers.

use chrono::{DateTime, Utc};
use hyper::StatusCode;
use hyper::header::{CONTENT_ENCODING, HeaderValue};
use serde_json::{Map, Value, json};

use super::{AnswerFault, Delivery, ExchangeFault, Plan, other_error};
use crate::connection::End;
use crate::http::Answer;

const HTML: &str = "<!DOCTYPE html>\n<html><head><title>Something else</title></head>\
    <body><h1>This is not the service that you are looking for</h1></body></html>\n";

/// A value that no document lists.
const UNKNOWN_VALUE: &str = "unheard_of";

impl Plan {
    /// Applies this plan's faults to `answer`. The caller handles resets and replaced statuses.
    pub(crate) fn distort(&self, mut answer: Answer, now: DateTime<Utc>) -> Answer {
        if self.extra_fields {
            change(&mut answer, add_fields);
        }
        if self.unknown_enum {
            change(&mut answer, replace_enums);
        }
        if let Some(field) = self.odd_field {
            change(&mut answer, |value| field.change(value));
        }
        if let Some(secret) = self.odd_secret {
            change(&mut answer, |value| secret.change(value));
        }
        if let Some(zero) = self.zero_time {
            change(&mut answer, |value| zero.change(value, now));
        }
        if self.other_error {
            let status = answer.status;
            change(&mut answer, |value| other_error::change(value, status));
        }
        let Some(ExchangeFault::After(fault)) = &self.exchange else { return answer };
        match fault {
            AnswerFault::Reset | AnswerFault::Status(_) | AnswerFault::Intermediary(_) => {}
            AnswerFault::ResetBody => answer.delivery = Delivery::Half(End::Reset),
            AnswerFault::Truncate => answer.delivery = Delivery::Half(End::Close),
            AnswerFault::Empty => answer.body.clear(),
            AnswerFault::Html(status) => {
                answer.body = HTML.into();
                answer.content_type = Some(HeaderValue::from_static("text/html; charset=utf-8"));
                answer.status = status.map_or(answer.status, error_status);
            }
            AnswerFault::WrongType => change(&mut answer, swap_type),
            AnswerFault::Encoded(coding) => {
                answer.body = coding.encode(&answer.body).into();
                answer.headers.insert(CONTENT_ENCODING, HeaderValue::from_static(coding.as_str()));
            }
            AnswerFault::MediaType(media_type) => {
                answer.content_type = media_type.as_deref().and_then(|name| HeaderValue::from_str(name).ok());
            }
            AnswerFault::ByteOrderMark => answer.body = [b"\xef\xbb\xbf", &answer.body[..]].concat().into(),
            AnswerFault::Endless => answer.delivery = Delivery::Endless,
            AnswerFault::Slow(pause) => answer.delivery = Delivery::Slow(*pause),
        }
        answer
    }
}

/// Returns `status` if it is an error's, and 500 otherwise.
pub(super) fn error_status(status: u16) -> StatusCode {
    match StatusCode::from_u16(status) {
        Ok(status) if status.is_client_error() || status.is_server_error() => status,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

fn change(answer: &mut Answer, change: impl FnOnce(&mut Value)) {
    let Ok(mut value) = serde_json::from_slice(&answer.body) else { return };
    change(&mut value);
    answer.body = value.to_string().into();
}

fn swap_type(value: &mut Value) {
    *value = match value.take() {
        object @ Value::Object(_) => Value::Array(vec![object]),
        text @ Value::String(_) => json!({ "message": text }),
        other => Value::String(other.to_string()),
    };
}

fn add_fields(value: &mut Value) {
    each_object(value, &mut |object| {
        object.insert("added_text".to_owned(), Value::from("new"));
        object.insert("added_object".to_owned(), json!({ "nested": [1, null] }));
    });
}

fn replace_enums(value: &mut Value) {
    each_object(value, &mut |object| {
        for name in ["status", "key_type", "error_type"] {
            if let Some(value @ Value::String(_)) = object.get_mut(name) {
                *value = Value::from(UNKNOWN_VALUE);
            }
        }
    });
}

/// Visits inner objects first, so that it does not visit the fields that `visit` adds.
pub(super) fn each_object(value: &mut Value, visit: &mut impl FnMut(&mut Map<String, Value>)) {
    match value {
        Value::Object(object) => {
            object.values_mut().for_each(|value| each_object(value, visit));
            visit(object);
        }
        Value::Array(rows) => rows.iter_mut().for_each(|value| each_object(value, visit)),
        _ => {}
    }
}
