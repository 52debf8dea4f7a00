//! DHCP (RFC 2131, options of RFC 2132).

use super::Fields;
use crate::dissect::tree::fields::text;

pub(super) fn dhcp(fields: &mut Fields<'_>) {
    fields.named("Dynamic Host Configuration Protocol", "dhcp", "", fields.rest(0).len());
    fields.decimal_named(0, 1, "Message type", "dhcp.type", |number| match number {
        1 => "Boot Request",
        2 => "Boot Reply",
        _ => "",
    });
    fields.hex(4, 4, "Transaction ID", "dhcp.id");
    fields.decimal(8, 2, "Seconds elapsed", "dhcp.secs");
    fields.ipv4(12, "Client IP address", "dhcp.ip.client");
    fields.ipv4(16, "Your (client) IP address", "dhcp.ip.your");
    fields.ipv4(20, "Next server IP address", "dhcp.ip.server");
    fields.ipv4(24, "Relay agent IP address", "dhcp.ip.relay");
    fields.mac(28, "Client MAC address", "dhcp.hw.mac_addr");
    let mut at = 240;
    while let (Some(kind), Some(len)) = (fields.u8(at), fields.u8(at + 1)) {
        match kind {
            0 => {
                at += 1;
                continue;
            }
            255 => return,
            _ => option(fields, at, kind, usize::from(len)),
        }
        at += 2 + usize::from(len);
    }
}

fn option(fields: &mut Fields<'_>, at: usize, kind: u8, len: usize) {
    let address = match (kind, len) {
        (1, 4) => Some(("Subnet Mask", "dhcp.option.subnet_mask")),
        (3, 4..) => Some(("Router", "dhcp.option.router")),
        (6, 4..) => Some(("Domain Name Server", "dhcp.option.domain_name_server")),
        (50, 4) => Some(("Requested IP Address", "dhcp.option.requested_ip_address")),
        (54, 4) => Some(("DHCP Server Identifier", "dhcp.option.dhcp_server_id")),
        _ => None,
    };
    if let Some((name, field)) = address {
        // There may be several routers and name servers.
        return (0..len / 4).for_each(|no| fields.ipv4(at + 2 + 4 * no, name, field));
    }
    match (kind, len) {
        (53, 1) => fields.decimal_named(at + 2, 1, "DHCP Message Type", "dhcp.option.dhcp", |number| match number {
            1 => "Discover",
            2 => "Offer",
            3 => "Request",
            4 => "Decline",
            5 => "ACK",
            6 => "NAK",
            7 => "Release",
            8 => "Inform",
            _ => "",
        }),
        (51, 4) => drop(fields.decimal(at + 2, 4, "IP Address Lease Time (s)", "dhcp.option.ip_address_lease_time")),
        (26, 2) => drop(fields.decimal(at + 2, 2, "Interface MTU", "dhcp.option.interface_mtu")),
        (12, _) => {
            let name = text(fields.bytes(at + 2, len).unwrap_or_default());
            fields.add(at + 2, len, "Host Name", "dhcp.option.hostname", name);
        }
        _ => drop(fields.opaque(at + 2, len, &format!("Option {kind}"), "dhcp.option.value")),
    }
}
