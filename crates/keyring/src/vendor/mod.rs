//! The vendors' adapters and their shared code. Only a vendor's own folder uses its raw crate.

pub(crate) mod call;
pub(crate) mod credential;
mod foreign;
#[cfg(feature = "monad")]
pub(crate) mod monad;
mod recover;
mod rows;
mod setup;
#[cfg(feature = "spartera")]
pub(crate) mod spartera;
mod times;

/// The names of all vendors that this crate knows, whether their features are enabled or not.
///
/// The command line reads a vendor's settings from variables that begin with its name in upper case, such as
/// `MONAD_API_KEY`. To start a program that must not see a credential, leave out these variables.
///
/// ```
/// assert!(api_keyring::VENDORS.contains(&"monad"));
/// ```
pub const VENDORS: &[&str] = &["monad", "spartera"];

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    #[test]
    #[cfg(all(feature = "monad", feature = "spartera"))]
    fn every_vendor_is_named() {
        use crate::Provider as _;

        let monad = crate::Monad::builder().organization_id("a").api_key("x").build().unwrap();
        let spartera = crate::Spartera::builder().company_id("a").api_key("x").build().unwrap();
        assert_eq!(super::VENDORS, [monad.vendor(), spartera.vendor()]);
    }
}
