//! Monad: API keys of an organization.

mod answer;
mod input;
mod operations;
mod saved;
mod state;
mod token;

pub(crate) use answer::refused;
pub(crate) use saved::OrganizationState;
pub(crate) use state::Organization;

use crate::permission::Role;

/// Returns the role with this id.
fn role(id: &str) -> Option<Role> {
    match id {
        "role-admin" => Some(Role::Administrator),
        "role-writer" => Some(Role::Writer),
        "role-reader" => Some(Role::Reader),
        "role-none" => Some(Role::NoAccess),
        _ => None,
    }
}

/// Returns the id of this role.
fn role_id(role: Role) -> &'static str {
    match role {
        Role::Administrator => "role-admin",
        Role::Writer => "role-writer",
        Role::Reader => "role-reader",
        Role::NoAccess => "role-none",
    }
}
