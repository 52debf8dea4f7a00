//! NTP (RFC 5905).

use super::Fields;

pub(super) fn ntp(fields: &mut Fields<'_>) {
    let first = fields.u8(0).unwrap_or(0);
    let mode = ["reserved", "symmetric active", "symmetric passive", "client", "server", "broadcast", "control", "private"];
    let mode_name = mode[usize::from(first & 7)];
    fields.named("Network Time Protocol", "ntp", format_args!("version {}, {mode_name}", first >> 3 & 7), fields.rest(0).len());
    fields.add(0, 1, "Leap Indicator", "ntp.flags.li", first >> 6);
    fields.add(0, 1, "Version number", "ntp.flags.vn", first >> 3 & 7);
    fields.add(0, 1, "Mode", "ntp.flags.mode", format_args!("{mode_name} ({})", first & 7));
    // Control and private messages have another shape.
    if first & 7 > 5 {
        return;
    }
    fields.decimal(1, 1, "Peer Clock Stratum", "ntp.stratum");
    if let Some(power) = fields.u8(2) {
        fields.add(2, 1, "Peer Polling Interval", "ntp.ppoll", format_args!("2^{} s", power as i8));
    }
    if let Some(power) = fields.u8(3) {
        fields.add(3, 1, "Peer Clock Precision", "ntp.precision", format_args!("2^{} s", power as i8));
    }
    fields.hex(4, 4, "Root Delay", "ntp.rootdelay");
    fields.hex(8, 4, "Root Dispersion", "ntp.rootdispersion");
    fields.hex(12, 4, "Reference ID", "ntp.refid");
    for (at, name, field) in [
        (16, "Reference Timestamp", "ntp.reftime"),
        (24, "Origin Timestamp", "ntp.org"),
        (32, "Receive Timestamp", "ntp.rec"),
        (40, "Transmit Timestamp", "ntp.xmt"),
    ] {
        let (Some(seconds), Some(fraction)) = (fields.u32(at), fields.u32(at + 4)) else { return };
        let micros = (u64::from(fraction) * 1_000_000) >> 32;
        fields.add(at, 8, name, field, format_args!("{seconds}.{micros:06} s since 1900"));
    }
}
