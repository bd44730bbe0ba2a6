//! `create`: a new key.

use api_keyring::{NewKey, Provider as _};

use super::deliver::{self, Undo};
use super::provider;
use crate::arguments::{Create, Format};
use crate::failure::Result;
use crate::interrupt::shielded;

pub(super) async fn run(format: Format, arguments: Create) -> Result {
    let provider = provider(&arguments.provider)?;
    let mut new = NewKey::new(arguments.name).role(arguments.role);
    new.expiry = arguments.expiry.expiry();
    new.description = arguments.description;
    new.owner = arguments.owner;
    let wanted = deliver::wanted(arguments.delivery)?;
    shielded(deliver::issue(format, &provider, wanted, provider.create(&new), Undo::Delete)).await
}
