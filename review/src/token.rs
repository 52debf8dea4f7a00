//! Bearer tokens: random, shown once, kept only as a hash.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt;
use subtle::ConstantTimeEq;

/// A secret that gives its bearer a right: 144 random bits in base64url, 24 characters.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// A new one from the operating system's randomness.
    ///
    /// # Errors
    /// When the operating system has none to give.
    pub fn random() -> std::io::Result<Self> {
        let mut bytes = [0; 18];
        getrandom::fill(&mut bytes).map_err(std::io::Error::from)?;
        Ok(Self(base64url(&bytes)))
    }

    /// The token as it stands in a link.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What the server keeps of it.
    pub fn hash(&self) -> TokenHash {
        TokenHash::of(&self.0)
    }
}

/// A token must not slip into a log by way of `{:?}`.
impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// SHA-256 of a token's text. The token is random and long, so neither salt nor stretching adds anything.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TokenHash([u8; 32]);

impl TokenHash {
    /// The hash of what somebody presents as a token.
    pub fn of(presented: &str) -> Self {
        Self(Sha256::digest(presented.as_bytes()).into())
    }

    /// What the token is called in lists: says nothing that helps to guess it.
    pub(crate) fn id(&self) -> String {
        self.0[..8].iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Whether both are hashes of one token, in a time that does not tell how much of them agrees.
    pub fn matches(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHash(…)")
    }
}

impl From<TokenHash> for String {
    fn from(hash: TokenHash) -> Self {
        hash.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl TryFrom<String> for TokenHash {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not a SHA-256 in hexadecimal");
        if text.len() != 64 || !text.is_ascii() {
            return Err(wrong());
        }
        let mut hash = [0; 32];
        for (i, byte) in hash.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * i..2 * i + 2], 16).map_err(|_| wrong())?;
        }
        Ok(Self(hash))
    }
}

/// base64url without padding (RFC 4648 section 5).
fn base64url(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let word = three.iter().enumerate().fold(0u32, |word, (i, byte)| word | u32::from(*byte) << (16 - 8 * i));
        for i in 0..=three.len() {
            text.push(char::from(ALPHABET[(word >> (18 - 6 * i)) as usize & 63]));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64url_is_that_of_rfc_4648() {
        let cases: [(&[u8], &str); 6] =
            [(b"", ""), (b"f", "Zg"), (b"fo", "Zm8"), (b"foo", "Zm9v"), (b"foobar", "Zm9vYmFy"), (b"\xff\xfe\xfb", "__77")];
        for (bytes, text) in cases {
            assert_eq!(base64url(bytes), text);
        }
    }

    #[test]
    fn tokens_differ_and_a_token_matches_only_its_own_hash() {
        let (a, b) = (Token::random().unwrap(), Token::random().unwrap());
        assert_eq!(a.as_str().len(), 24);
        assert!(a.hash().matches(&TokenHash::of(a.as_str())));
        assert!(!a.hash().matches(&b.hash()));
        assert!(!a.hash().matches(&TokenHash::of("")));
    }

    #[test]
    fn a_hash_is_kept_as_hexadecimal_and_read_back() {
        let hash = TokenHash::of("abc");
        let text = String::from(hash);
        assert_eq!(text, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(TokenHash::try_from(text), Ok(hash));
        assert!(TokenHash::try_from("zz".repeat(32)).is_err());
        assert!(TokenHash::try_from("ä".repeat(32)).is_err());
    }

    #[test]
    fn a_token_does_not_show_itself_to_a_debug_print() {
        let token = Token::random().unwrap();
        assert!(!format!("{token:?} {:?}", token.hash()).contains(token.as_str()));
    }
}
