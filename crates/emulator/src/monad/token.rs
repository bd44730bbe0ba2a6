//! Monad's secrets: signed JSON Web Tokens.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use fastrand::Rng;
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use crate::secret;

/// The length of a signing key.
pub(super) const SIGNING_KEY_BYTES: usize = 64;

/// The key with which an organization signs its tokens.
pub(super) struct SigningKey {
    /// The id in the head of every token.
    pub(super) id: String,
    pub(super) bytes: [u8; SIGNING_KEY_BYTES],
}

impl SigningKey {
    pub(super) fn random(rng: &mut Rng) -> Self {
        let id = secret::random_uuid(rng);
        let mut bytes = [0; SIGNING_KEY_BYTES];
        rng.fill(&mut bytes);
        Self { id, bytes }
    }
}

/// Signs tokens, and verifies the tokens that it has signed.
pub(super) struct Signer {
    mac: Hmac<Sha256>,
    /// The first part of every token, with the dot after it.
    head: String,
}

/// The claims of a token.
#[derive(Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct Claims {
    /// The id of the key.
    pub(super) sub: String,
    pub(super) organization_id: String,
    pub(super) token_version: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) jti: Option<String>,
    pub(super) iat: i64,
    pub(super) exp: i64,
}

#[derive(Serialize)]
struct Head<'a> {
    alg: &'static str,
    kid: &'a str,
    typ: &'static str,
}

impl Signer {
    pub(super) fn new(key: &[u8; SIGNING_KEY_BYTES], key_id: &str) -> Self {
        let head = encode(&Head { alg: "HS256", kid: key_id, typ: "JWT" });
        Self { mac: Hmac::new(key.into()), head: format!("{head}.") }
    }

    pub(super) fn sign(&self, claims: &Claims) -> String {
        let mut token = format!("{}{}", self.head, encode(claims));
        let mut mac = self.mac.clone();
        mac.update(token.as_bytes());
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(mac.finalize().into_bytes(), &mut token);
        token
    }

    /// Returns the claims if this signer signed the token. The caller checks whether they still hold.
    pub(super) fn verify(&self, token: &str) -> Option<Claims> {
        let (signed, signature) = token.rsplit_once('.')?;
        let claims = signed.strip_prefix(&self.head)?;
        let mut mac = self.mac.clone();
        mac.update(signed.as_bytes());
        mac.verify_slice(&URL_SAFE_NO_PAD.decode(signature).ok()?).ok()?;
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()
    }
}

fn encode(part: &impl Serialize) -> String {
    // Writing plain structures of text and numbers cannot fail.
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(part).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims() -> Claims {
        Claims {
            sub: "key".into(),
            organization_id: "organization".into(),
            token_version: 1,
            jti: None,
            iat: 1,
            exp: 2,
        }
    }

    #[test]
    fn only_the_signer_of_a_token_verifies_it() {
        let signer = Signer::new(&[1; 64], "one");
        let token = signer.sign(&claims());
        assert_eq!(signer.verify(&token), Some(claims()));
        assert_eq!(Signer::new(&[2; 64], "one").verify(&token), None);
        assert_eq!(Signer::new(&[1; 64], "two").verify(&token), None);
    }

    #[test]
    fn a_changed_token_is_refused() {
        let signer = Signer::new(&[1; 64], "one");
        let token = signer.sign(&claims());
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let other = signer.sign(&Claims { token_version: 2, ..claims() });
        let (other_signed, _) = other.rsplit_once('.').unwrap();
        for changed in ["", "a.b.c", signed, &format!("{signed}."), &format!("{other_signed}.{signature}")] {
            assert_eq!(signer.verify(changed), None, "{changed}");
        }
    }
}
