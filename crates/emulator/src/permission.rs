//! What a key may do. Both services have the same four roles here, under ids of their own.

use crate::route::Operation;

/// What an operation needs of the key that asks for it.
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

/// The key whose secret a request carries.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Caller {
    pub(crate) id: String,
    pub(crate) role: Role,
}

/// What a key has been given.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Role {
    Administrator,
    Writer,
    Reader,
    /// May do nothing, not even read.
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

    /// The permissions' names, as a key shows them.
    pub(crate) fn permissions(self) -> &'static [&'static str] {
        match self {
            Role::Administrator => &["read", "write", "delete"],
            Role::Writer => &["read", "write"],
            Role::Reader => &["read"],
            Role::NoAccess => &[],
        }
    }
}
