//! The clients in the comparison. Each of them decodes every key that it gets.

mod facade;
mod hand_written;
mod hyper;
pub(crate) mod plain;
mod raw;

use anyhow::Result;

use crate::bodies::Shape;
use crate::{Client, Request};

/// What to send, and to which service.
pub(crate) struct Target {
    pub(crate) shape: Shape,
    pub(crate) request: Request,
    pub(crate) url: String,
    /// The id of the key that the service knows.
    pub(crate) key: String,
}

/// Sends `count` requests, and returns how many keys the answers held.
pub(crate) async fn call(client: Client, target: &Target, count: usize) -> Result<usize> {
    match client {
        Client::Hyper => hyper::call(target, count).await,
        Client::HandWritten => hand_written::call(target, count).await,
        Client::Raw => raw::call(target, count).await,
        Client::Facade => facade::call(target, count).await,
    }
}
