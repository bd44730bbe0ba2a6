//! Permissions and roles. Both services have the same four roles, each with its own ids.

use crate::route::Operation;

/// The permission that an operation needs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Permission {
    Read,
    Write,
    Delete,
}

impl Permission {
    pub(crate) fn needed_for(operation: Operation) -> Self {
        match operation {
            Operation::List | Operation::Get | Operation::Stats => Self::Read,
            Operation::Create | Operation::Update | Operation::Regenerate => Self::Write,
            Operation::Delete | Operation::Revoke => Self::Delete,
        }
    }
}

/// The key that authenticated a request.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Caller {
    pub(crate) id: String,
    pub(crate) role: Role,
}

/// The role of a key.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Role {
    Administrator,
    Writer,
    Reader,
    /// The key may do nothing, not even read.
    NoAccess,
}

impl Role {
    pub(crate) fn allows(self, permission: Permission) -> bool {
        match permission {
            Permission::Read => self != Role::NoAccess,
            Permission::Write => matches!(self, Role::Administrator | Role::Writer),
            Permission::Delete => self == Role::Administrator,
        }
    }

    /// Returns the names of the permissions, as a key shows them.
    pub(crate) fn permissions(self) -> &'static [&'static str] {
        match self {
            Role::Administrator => &["read", "write", "delete"],
            Role::Writer => &["read", "write"],
            Role::Reader => &["read"],
            Role::NoAccess => &[],
        }
    }
}
