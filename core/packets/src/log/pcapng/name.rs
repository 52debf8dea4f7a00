//! The Name Resolution Block: addresses and what they are called (draft-ietf-opsawg-pcapng section 4.5).

use super::option;
use crate::log::bytes::{ByteOrder, padded};
use crate::log::decode::Stop;
use std::net::{Ipv4Addr, Ipv6Addr};

const END: u16 = 0;
const IPV4: u16 = 1;
const IPV6: u16 = 2;

/// Names that are taken from one block. A name takes up two bytes there and some hundred here, so a hostile block must not
/// decide how many there are.
const MOST_NAMES: usize = 65_536;

/// Address text and name, one pair a name, in the order of the block.
pub(super) fn names(order: ByteOrder, body: &[u8]) -> Result<Vec<(String, String)>, Stop> {
    let mut found = Vec::new();
    let mut rest = body;
    while !rest.is_empty() {
        if rest.len() < 4 {
            return Err(Stop::Damaged(format!("{} bytes where a name record should be", rest.len())));
        }
        let (kind, length) = (order.u16(rest, 0), usize::from(order.u16(rest, 2)));
        rest = &rest[4..];
        if padded(length) > rest.len() {
            return Err(Stop::Damaged(format!("a name record of {length} bytes, where {} are left in the block", rest.len())));
        }
        if kind == END {
            break; // options follow, none of which is of use here
        }
        let record = &rest[..length];
        // Addresses are in network order whatever the section's.
        match kind {
            IPV4 => {
                let (address, names) = record.split_first_chunk::<4>().ok_or_else(|| short(record))?;
                add(Ipv4Addr::from(*address).to_string(), names, &mut found);
            }
            IPV6 => {
                let (address, names) = record.split_first_chunk::<16>().ok_or_else(|| short(record))?;
                add(Ipv6Addr::from(*address).to_string(), names, &mut found);
            }
            _ => {}
        }
        rest = &rest[padded(length)..];
    }
    Ok(found)
}

fn add(address: String, names: &[u8], found: &mut Vec<(String, String)>) {
    let room = MOST_NAMES.saturating_sub(found.len());
    let named = names.split(|&byte| byte == 0).filter(|name| !name.is_empty()).take(room);
    found.extend(named.map(|name| (address.clone(), option::text(name))));
}

#[cold]
fn short(record: &[u8]) -> Stop {
    Stop::Damaged(format!("a name record of {} bytes is too short for its address", record.len()))
}
