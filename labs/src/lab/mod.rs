//! The labs, one file each.

use crate::Lab;

mod accept_queue_overflow;
mod conntrack_full;
mod healthy;
mod mtu_100;
mod nft_drop;
mod pmtud;
mod queue_drop;
mod random_drop;
mod refused;
mod rejected;
mod syn_dropped;
mod udp_receive_buffer;
mod zero_window;

/// Every lab, the reference cases first.
pub const LABS: &[Lab] = &[
    mtu_100::LAB,
    random_drop::LAB,
    random_drop::LAB_LEGACY,
    healthy::LAB,
    nft_drop::LAB,
    conntrack_full::LAB,
    accept_queue_overflow::LAB,
    syn_dropped::LAB,
    rejected::LAB,
    refused::LAB,
    pmtud::LAB_BLACK_HOLE,
    pmtud::LAB_WORKING,
    queue_drop::LAB,
    udp_receive_buffer::LAB,
    zero_window::LAB,
];
