//! The Internet checksum (RFC 1071), for verification only.
//!
//! A correct checksum makes the one's complement sum of all 16-bit words 0xffff, whichever byte order the words are read in;
//! so the sum is taken in the order in which most machines read them. It is kept in 64 bits: 2^16 is 1 modulo 0xffff, so
//! 64-bit words may be added with an end-around carry and reduced once, at the end.

use super::packet::Checksum;
use std::net::IpAddr;

/// Verifies a checksum over a pseudo header with these addresses and `covered`, which the pseudo header counts as `told_len`.
#[inline]
pub(super) fn verify(addresses: &(IpAddr, IpAddr), protocol: u8, covered: &[u8], told_len: usize) -> Checksum {
    let addresses = match addresses {
        (IpAddr::V4(src), IpAddr::V4(dst)) => plus(words(&src.octets()), words(&dst.octets())),
        (IpAddr::V6(src), IpAddr::V6(dst)) => plus(words(&src.octets()), words(&dst.octets())),
        // IP headers hold two addresses of one kind.
        _ => return Checksum::Unverified,
    };
    verify_with(addresses, protocol, covered, told_len)
}

/// The same with the sum of the addresses.
#[inline]
pub(super) fn verify_with(addresses: u64, protocol: u8, covered: &[u8], told_len: usize) -> Checksum {
    // The length is 32 bits wide in IPv6's pseudo header; IPv4's 16-bit one has the same sum.
    let length = u64::from((told_len as u32).swap_bytes());
    let protocol = u64::from(u16::from_le_bytes([0, protocol]));
    verdict(add(plus(addresses, length + protocol), covered))
}

/// Verifies bytes that are covered alone, as an IPv4 header or ICMP.
#[inline]
pub(super) fn verify_plain(covered: &[u8]) -> Checksum {
    verdict(add(0, covered))
}

/// Whether a sum reduces to 0xffff. Only a sum of nothing but zeros reduces to 0.
#[inline]
pub(super) fn verdict(sum: u64) -> Checksum {
    if sum != 0 && sum.is_multiple_of(0xffff) { Checksum::Good } else { Checksum::Bad }
}

/// One's complement sum of two 64-bit words.
#[inline(always)]
fn plus(a: u64, b: u64) -> u64 {
    let (sum, carry) = a.overflowing_add(b);
    sum + u64::from(carry)
}

/// The sum of a number of bytes that the compiler knows: a multiple of 4.
#[inline(always)]
pub(super) fn words<const N: usize>(bytes: &[u8; N]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let sum = words.iter().fold(0, |sum, word| plus(sum, u64::from_le_bytes(*word)));
    rest.as_chunks::<4>().0.iter().fold(sum, |sum, word| plus(sum, u64::from(u32::from_le_bytes(*word))))
}

/// Adds bytes to a running sum; an odd last byte is filled up with zero (RFC 1071 section 4.1). All parts but the last must
/// have an even length.
#[inline]
fn add(sum: u64, bytes: &[u8]) -> u64 {
    let (blocks, rest) = bytes.as_chunks::<64>();
    let mut sum = plus(sum, add_blocks(blocks));
    let (words, rest) = rest.as_chunks::<8>();
    for word in words {
        sum = plus(sum, u64::from_le_bytes(*word));
    }
    if rest.is_empty() {
        return sum;
    }
    if let Some(last) = bytes.last_chunk::<8>() {
        // The rest stands at the end of the last eight bytes.
        return plus(sum, u64::from_le_bytes(*last) >> (64 - 8 * rest.len()));
    }
    plus(sum, rest.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte)))
}

/// One add-with-carry instruction for eight bytes.
#[cfg(not(target_arch = "wasm32"))]
#[inline(always)]
fn add_blocks(blocks: &[[u8; 64]]) -> u64 {
    let mut sum = 0_u64;
    for block in blocks {
        let word = |at: usize| u64::from_le_bytes(block.as_chunks::<8>().0[at]);
        let (s, c) = sum.overflowing_add(word(0));
        let (s, c) = s.carrying_add(word(1), c);
        let (s, c) = s.carrying_add(word(2), c);
        let (s, c) = s.carrying_add(word(3), c);
        let (s, c) = s.carrying_add(word(4), c);
        let (s, c) = s.carrying_add(word(5), c);
        let (s, c) = s.carrying_add(word(6), c);
        let (s, c) = s.carrying_add(word(7), c);
        sum = plus(s, u64::from(c));
    }
    sum
}

/// WebAssembly has no carry: the sum modulo 2^64 is taken beside that of the upper halves, which gives the lower halves' sum.
/// Two lanes, which the compiler puts into one vector where it may.
#[cfg(target_arch = "wasm32")]
#[inline(always)]
fn add_blocks(blocks: &[[u8; 64]]) -> u64 {
    let (mut all, mut upper) = ([0_u64; 2], [0_u64; 2]);
    for block in blocks {
        for row in block.as_chunks::<16>().0 {
            for lane in 0..2 {
                let word = u64::from_le_bytes(row.as_chunks::<8>().0[lane]);
                all[lane] = all[lane].wrapping_add(word);
                upper[lane] = upper[lane].wrapping_add(word >> 32);
            }
        }
    }
    let (all, upper) = (all[0].wrapping_add(all[1]), upper[0].wrapping_add(upper[1]));
    plus(all.wrapping_sub(upper << 32), upper)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fold(mut sum: u64) -> u16 {
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        sum as u16
    }

    #[test]
    fn the_example_of_rfc_1071_sums_to_ddf2() {
        let sum = fold(add(0, &[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]));
        assert_eq!(sum.to_le_bytes(), [0xdd, 0xf2]);
    }

    #[test]
    fn long_and_odd_inputs_equal_the_plain_sum() {
        let bytes: Vec<u8> = (0..1501_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        for len in [0, 1, 2, 3, 15, 16, 17, 31, 33, 1500, 1501] {
            let plain = bytes[..len].chunks(2).map(|w| u64::from(u16::from_be_bytes([w[0], *w.get(1).unwrap_or(&0)])));
            assert_eq!(fold(add(0, &bytes[..len])).to_le_bytes(), fold(plain.sum()).to_be_bytes(), "{len} bytes");
        }
    }
}
