//! Spartera: API keys of a company.

mod answer;
mod input;
mod operations;
mod saved;
mod state;

pub(crate) use answer::refused;
pub(crate) use saved::CompanyState;
pub(crate) use state::Company;

use crate::permission::Role;

/// Returns the role with this id.
fn role(id: i64) -> Option<Role> {
    match id {
        1 => Some(Role::Administrator),
        2 => Some(Role::Writer),
        3 => Some(Role::Reader),
        4 => Some(Role::NoAccess),
        _ => None,
    }
}

/// Returns the id of this role.
fn role_id(role: Role) -> i64 {
    match role {
        Role::Administrator => 1,
        Role::Writer => 2,
        Role::Reader => 3,
        Role::NoAccess => 4,
    }
}
