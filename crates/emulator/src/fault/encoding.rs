//! Content codings, written by hand: what they contain is not compressed.

use std::iter;

use super::variant::Variant;

/// A content coding, which changes the bytes of a body.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum ContentCoding {
    /// The format of `gzip` (RFC 1952). (`gzip`)
    #[default]
    Gzip,
    /// The zlib format (RFC 1950). (`deflate`)
    Deflate,
    /// Brotli (RFC 7932). (`br`)
    Brotli,
}

impl Variant for ContentCoding {
    const ALL: &'static [(&'static str, Self)] =
        &[("gzip", Self::Gzip), ("deflate", Self::Deflate), ("br", Self::Brotli)];
}

/// The longest part of a body that each of the formats can contain without compression.
const PART: usize = 0xffff;

impl ContentCoding {
    /// Returns the coding's name in HTTP.
    pub fn as_str(self) -> &'static str {
        super::variant::variant_name(self)
    }

    pub(crate) fn encode(self, body: &[u8]) -> Vec<u8> {
        match self {
            Self::Gzip => {
                // The magic number, the method (deflate), no flags, no time, no extra flags, an unknown system.
                let head = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
                let length = u32::try_from(body.len() & 0xffff_ffff).unwrap_or_default();
                [head.to_vec(), stored(body), crc32(body).to_le_bytes().to_vec(), length.to_le_bytes().to_vec()]
                    .concat()
            }
            Self::Deflate => [vec![0x78, 0x01], stored(body), adler32(body).to_be_bytes().to_vec()].concat(),
            Self::Brotli => brotli(body),
        }
    }
}

/// Returns deflate blocks (RFC 1951) that contain `body` as it is.
fn stored(body: &[u8]) -> Vec<u8> {
    let parts = body.len().div_ceil(PART).max(1);
    let mut blocks = Vec::with_capacity(body.len() + 5 * parts);
    for (index, part) in body.chunks(PART).chain(iter::repeat_n(&[][..], usize::from(body.is_empty()))).enumerate() {
        let length = u16::try_from(part.len()).unwrap_or_default();
        blocks.push(u8::from(index + 1 == parts));
        blocks.extend_from_slice(&length.to_le_bytes());
        blocks.extend_from_slice(&(!length).to_le_bytes());
        blocks.extend_from_slice(part);
    }
    blocks
}

/// Returns a Brotli stream whose blocks contain `body` as it is.
fn brotli(body: &[u8]) -> Vec<u8> {
    let mut stream = Vec::with_capacity(body.len() + 8);
    for (index, part) in body.chunks(PART).enumerate() {
        // From the lowest bit: the window (a 0, only at the start), not the last block, four nibbles of length less
        // one, not compressed. The rest of the last byte is empty.
        let length = u32::try_from(part.len() - 1).unwrap_or_default();
        let block = length << 3 | 1 << 19;
        let bits = if index == 0 { block << 1 } else { block };
        stream.extend_from_slice(&bits.to_le_bytes()[..3]);
        stream.extend_from_slice(part);
    }
    // The last block, which is empty. In an empty stream the window comes first.
    stream.push(if body.is_empty() { 0b110 } else { 0b11 });
    stream
}

fn crc32(body: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 })
    };
    !body.iter().fold(!0, step)
}

fn adler32(body: &[u8]) -> u32 {
    let (one, two) = body.iter().fold((1, 0), |(one, two), byte| {
        let one = (one + u32::from(*byte)) % 65_521;
        (one, (two + one) % 65_521)
    });
    two << 16 | one
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_those_of_the_standards() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        assert_eq!(adler32(b"Wikipedia"), 0x11e6_0398);
    }

    #[test]
    fn a_short_body_has_these_bytes() {
        // Other programs decode these bytes to `hi`.
        assert_eq!(
            ContentCoding::Gzip.encode(b"hi"),
            [
                0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff, 1, 2, 0, 0xfd, 0xff, b'h', b'i', 0xac, 0x2a, 0x93, 0xd8, 2, 0,
                0, 0
            ],
        );
        assert_eq!(
            ContentCoding::Deflate.encode(b"hi"),
            [0x78, 1, 1, 2, 0, 0xfd, 0xff, b'h', b'i', 0x01, 0x3b, 0x00, 0xd2]
        );
        assert_eq!(ContentCoding::Brotli.encode(b"hi"), [0x10, 0x00, 0x10, b'h', b'i', 3]);
    }
}
