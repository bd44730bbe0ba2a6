//! `rotate`: a new secret for a key.

use api_keyring::{Capability, Provider as _, Regeneration, Support};

use super::deliver::{self, Undo};
use super::provider_of;
use crate::arguments::{Format, Rotate};
use crate::confirm::confirm;
use crate::failure::{Failure, Result};
use crate::interrupt::shielded;

pub(super) async fn run(format: Format, arguments: Rotate) -> Result {
    let key = &arguments.key.key;
    let provider = provider_of(key)?;
    if !arguments.in_place {
        return Err(Failure::Usage(
            "only rotation in place is offered so far: add --in-place, or create a new key and revoke the old one"
                .to_owned(),
        ));
    }
    if let Support::Unsupported { instead } = provider.capabilities().support(Capability::Regenerate) {
        return Err(Failure::Usage(format!("{}: regenerate is not offered. {instead}", provider.name())));
    }
    let wanted = deliver::wanted(arguments.delivery)?;
    confirm(&arguments.consent, &format!("The secret of {key} stops working at once. Rotate it?"))?;
    let mut how = Regeneration::new();
    how.expiry = arguments.expiry.expiry();
    let regenerating = provider.regenerate(key.id(), &how);
    shielded(deliver::issue(format, &provider, wanted, regenerating, Undo::Impossible)).await
}
