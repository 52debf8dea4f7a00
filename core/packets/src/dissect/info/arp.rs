//! `ARP, Request who-has 10.0.0.2 tell 10.0.0.1, length 28`.

use super::Info;
use crate::dissect::packet::Arp;
use crate::dissect::walk::{Kind, Layer};
use std::fmt::Write;

pub(super) fn write(info: &mut Info, arp: &Arp, layers: &[Layer], data: &[u8]) {
    info.protocol = "ARP";
    let out = &mut info.text;
    let Some(layer) = layers.iter().find(|layer| layer.kind == Kind::Arp) else { return };
    let bytes = data.get(layer.at..layer.end).unwrap_or_default();
    let Some(header) = bytes.first_chunk::<8>() else { return };
    let [hardware_len, protocol_len] = [usize::from(header[4]), usize::from(header[5])];
    let len = layer.told - layer.at;
    let mac = |at: usize| bytes.get(at..at + hardware_len).unwrap_or_default();
    let (sender_mac, target_mac) = (mac(8), mac(8 + hardware_len + protocol_len));
    if bytes.len() < 8 + 2 * (hardware_len + protocol_len) {
        out.push_str(" [|arp]");
        return;
    }
    out.push_str("ARP, ");
    let (Some(sender), Some(target), true) = (arp.sender, arp.target, hardware_len > 0) else {
        let hardware = match u16::from_be_bytes([header[0], header[1]]) {
            1 => "Ethernet".to_owned(),
            number => format!("Unknown Hardware ({number})"),
        };
        let protocol = match u16::from_be_bytes([header[2], header[3]]) {
            0x0800 => "IPv4".to_owned(),
            number => format!("Unknown Protocol (0x{number:04x})"),
        };
        let _ = write!(out, "{hardware} (len {hardware_len}), {protocol} (len {protocol_len}), length {len}");
        return;
    };
    let _ = match arp.operation {
        1 => {
            let _ = write!(out, "Request who-has {target}");
            if target_mac.iter().any(|byte| *byte != 0) {
                out.push_str(" (");
                address(out, target_mac);
                out.push(')');
            }
            write!(out, " tell {sender}")
        }
        2 => {
            let _ = write!(out, "Reply {sender} is-at ");
            address(out, sender_mac);
            Ok(())
        }
        3 | 8 => {
            out.push_str(if arp.operation == 3 { "Reverse Request who-is " } else { "Inverse Request who-is " });
            address(out, target_mac);
            out.push_str(" tell ");
            address(out, sender_mac);
            Ok(())
        }
        4 => {
            out.push_str("Reverse Reply ");
            address(out, target_mac);
            write!(out, " at {target}")
        }
        9 => {
            out.push_str("Inverse Reply ");
            address(out, sender_mac);
            write!(out, " at {sender}")
        }
        other => write!(out, "Unknown ({other})"),
    };
    let _ = write!(out, ", length {len}");
}

fn address(out: &mut String, bytes: &[u8]) {
    if bytes == [0xff; 6] {
        out.push_str("Broadcast");
        return;
    }
    for (i, byte) in bytes.iter().enumerate() {
        let _ = write!(out, "{}{byte:02x}", if i > 0 { ":" } else { "" });
    }
}
