//! What is hashed leaves no copy in memory.

/// This compiles only if the hasher wipes itself, for which its crate needs a feature.
#[test]
fn a_hasher_wipes_itself() {
    fn wipes_itself<T: sha2::digest::zeroize::ZeroizeOnDrop>() {}
    wipes_itself::<sha2::Sha256>();
}
