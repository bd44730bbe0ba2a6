//! Memory that is wiped when it is dropped.

use std::ops::{Deref, DerefMut};

/// Bytes that may hold a secret. Dropping them overwrites them.
///
/// An answer may have many bytes, and `Zeroizing` overwrites them one by one.
#[derive(Clone, Default)]
pub(crate) struct WipedBytes(Vec<u8>);

impl WipedBytes {
    pub(crate) fn with_capacity(capacity: usize) -> Self {
        Self(Vec::with_capacity(capacity))
    }

    /// Returns the bytes, which nobody wipes from then on.
    pub(crate) fn into_inner(mut self) -> Vec<u8> {
        std::mem::take(&mut self.0)
    }
}

impl From<Vec<u8>> for WipedBytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl Deref for WipedBytes {
    type Target = Vec<u8>;

    fn deref(&self) -> &Vec<u8> {
        &self.0
    }
}

impl DerefMut for WipedBytes {
    fn deref_mut(&mut self) -> &mut Vec<u8> {
        &mut self.0
    }
}

impl Drop for WipedBytes {
    fn drop(&mut self) {
        // Shortened bytes leave a rest behind their end.
        let capacity = self.0.capacity();
        self.0.clear();
        self.0.resize(capacity, 0);
        // The compiler must not leave the writes out.
        zeroize::optimization_barrier(self.0.as_slice());
    }
}
