//! `create` issues a new key.

use api_keyring::{NewKey, Provider as _};

use super::deliver::{self, Undo};
use super::provider;
use crate::arguments::{Create, Format};
use crate::cancellation::defer_cancellation;
use crate::failure::Result;

pub(super) async fn run(format: Format, arguments: Create) -> Result {
    let provider = provider(&arguments.provider)?;
    let mut new = NewKey::new(arguments.name).role(arguments.role);
    new.expiry = arguments.expiry.expiry();
    new.description = arguments.description;
    new.owner = arguments.owner;
    let destination = deliver::requested_destination(arguments.delivery)?;
    defer_cancellation(deliver::issue_and_deliver(format, &provider, destination, provider.create(&new), Undo::Delete))
        .await
}
