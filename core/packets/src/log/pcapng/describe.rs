//! The blocks that describe: Section Header, Interface Description, Interface Statistics.

use super::{PcapNg, option, too_short};
use crate::ids::InterfaceId;
use crate::log::bytes::ByteOrder;
use crate::log::decode::Stop;
use crate::log::link;
use crate::log::record::{FileFormat, Interface, Section, Statistics};
use crate::time::Timestamp;

/// Interfaces of one recording that are looked for in its next segments; a host that watches more has other worries.
const MOST_GOING_ON: usize = 1024;

/// What an interface's packets are read by.
#[derive(Clone, Copy, Debug)]
pub(super) struct SectionInterface {
    pub(super) id: InterfaceId,
    pub(super) link_type: u32,
    pub(super) snaplen: u32,
    pub(super) longest_packet: u32,
    /// Bytes of every packet that are not the packet's: [`link::pseudo_header`].
    pub(super) pseudo_header: usize,
    ticks_per_second: u64,
    /// `if_tsoffset`, in nanoseconds.
    offset_ns: i64,
}

impl SectionInterface {
    /// The time that a time stamp of this interface tells; saturates at what a [`Timestamp`] can tell.
    #[inline]
    pub(super) fn time(&self, ticks: u64) -> Timestamp {
        const NANOSECOND: u64 = 1_000_000_000;
        const MICROSECOND: u64 = 1_000_000;
        let nanos = match self.ticks_per_second {
            NANOSECOND => i64::try_from(ticks).ok(),
            MICROSECOND => i64::try_from(ticks).ok().and_then(|ticks| ticks.checked_mul(1_000)),
            resolution => {
                let nanos = u128::from(ticks) * u128::from(NANOSECOND) / u128::from(resolution);
                i64::try_from(nanos).ok()
            }
        };
        Timestamp::from_nanos(nanos.unwrap_or(i64::MAX).saturating_add(self.offset_ns))
    }
}

impl PcapNg {
    /// Begins a section: its byte order holds from here on, and interfaces are numbered anew.
    pub(super) fn section(&mut self, order: ByteOrder, body: &[u8]) -> Result<Section, Stop> {
        const FIXED: usize = 16;
        if body.len() < FIXED {
            return Err(too_short("a section header", body, FIXED));
        }
        let (major, minor) = (order.u16(body, 4), order.u16(body, 6));
        // 1.2 is 1.0 with more block types.
        if major != 1 || !(minor == 0 || minor == 2) {
            return Err(Stop::Unsupported(format!("a section is of pcapng version {major}.{minor}; 1.0 and 1.2 can be read")));
        }
        let mut section = Section { format: FileFormat::PcapNg, ..Section::default() };
        option::for_each(order, &body[FIXED..], |code, value| match code {
            option::COMMENT => section.comments.push(option::text(value)),
            option::SHB_HARDWARE => section.hardware = Some(option::text(value)),
            option::SHB_OS => section.os = Some(option::text(value)),
            option::SHB_USERAPPL => section.application = Some(option::text(value)),
            _ => {}
        })?;
        self.order = Some(order);
        self.interfaces.clear();
        let recording = section.segment().map(|segment| segment.recording);
        if recording != self.recording {
            self.of_recording.clear();
            self.recording = recording;
        }
        Ok(section)
    }

    /// Describes the section's next interface; `None` for one that goes on from an earlier segment of the same recording.
    pub(super) fn interface(&mut self, order: ByteOrder, body: &[u8]) -> Result<Option<Interface>, Stop> {
        const FIXED: usize = 8;
        if body.len() < FIXED {
            return Err(too_short("an interface description", body, FIXED));
        }
        let link_type = u32::from(order.u16(body, 0));
        let mut interface = Interface {
            id: InterfaceId(self.next_interface),
            number: self.interfaces.len() as u32,
            link_type,
            snaplen: order.u32(body, 4),
            ticks_per_second: 1_000_000,
            ..Interface::default()
        };
        let mut offset_seconds = 0;
        option::for_each(order, &body[FIXED..], |code, value| match code {
            option::COMMENT => interface.comments.push(option::text(value)),
            option::IF_NAME => interface.name = Some(option::text(value)),
            option::IF_DESCRIPTION => interface.description = Some(option::text(value)),
            option::IF_OS => interface.os = Some(option::text(value)),
            option::IF_FILTER => {
                if let Some((&option::FILTER_IS_TEXT, expression)) = value.split_first() {
                    interface.filter = Some(option::text(expression));
                }
            }
            option::IF_TSRESOL => {
                if let [resolution] = *value {
                    interface.ticks_per_second = ticks_per_second(resolution);
                }
            }
            option::IF_TSOFFSET => {
                offset_seconds = option::number(order, value).map_or(0, u64::cast_signed);
            }
            _ => {}
        })?;
        let known = self.of_recording.iter().find(|known| Interface { id: known.id, ..interface.clone() } == **known);
        let known = known.map(|known| known.id);
        self.interfaces.push(SectionInterface {
            id: known.unwrap_or(interface.id),
            link_type,
            snaplen: interface.snaplen,
            longest_packet: link::longest_packet(link_type),
            pseudo_header: link::pseudo_header(link_type),
            ticks_per_second: interface.ticks_per_second,
            offset_ns: offset_seconds.saturating_mul(1_000_000_000),
        });
        if known.is_some() {
            return Ok(None);
        }
        self.next_interface = self.next_interface.saturating_add(1);
        if self.recording.is_some() && self.of_recording.len() < MOST_GOING_ON {
            self.of_recording.push(interface.clone());
        }
        Ok(Some(interface))
    }

    /// What the capture counted; `None` for an interface that was not described.
    pub(super) fn statistics(&self, order: ByteOrder, body: &[u8]) -> Result<Option<Statistics>, Stop> {
        const FIXED: usize = 12;
        if body.len() < FIXED {
            return Err(too_short("interface statistics", body, FIXED));
        }
        let Some(interface) = self.interfaces.get(order.u32(body, 0) as usize) else {
            return Ok(None);
        };
        let ticks = u64::from(order.u32(body, 4)) << 32 | u64::from(order.u32(body, 8));
        let mut statistics = Statistics { interface: interface.id, time: interface.time(ticks), ..Statistics::default() };
        option::for_each(order, &body[FIXED..], |code, value| {
            let count = option::number(order, value);
            match code {
                option::ISB_IFRECV => statistics.received = count,
                option::ISB_IFDROP => statistics.if_dropped = count,
                option::ISB_OSDROP => statistics.os_dropped = count,
                option::ISB_USRDELIV => statistics.delivered = count,
                _ => {}
            }
        })?;
        Ok(Some(statistics))
    }
}

/// What `if_tsresol` means: a power of 10, or with the highest bit set a power of 2. One that does not fit 64 bits is
/// taken as the finest that does.
fn ticks_per_second(resolution: u8) -> u64 {
    let exponent = u32::from(resolution & 0x7f);
    let base: u64 = if resolution & 0x80 == 0 { 10 } else { 2 };
    base.checked_pow(exponent).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_stamp_is_told_in_nanoseconds_whatever_its_resolution() {
        let second = |resolution, ticks, offset_seconds: i64| {
            SectionInterface {
                id: InterfaceId(0),
                link_type: 1,
                snaplen: 0,
                longest_packet: 0,
                pseudo_header: 0,
                ticks_per_second: ticks_per_second(resolution),
                offset_ns: offset_seconds.saturating_mul(1_000_000_000),
            }
            .time(ticks)
            .nanos()
        };
        assert_eq!(second(0, 3, 0), 3_000_000_000);
        assert_eq!(second(3, 1_500, 0), 1_500_000_000);
        assert_eq!(second(6, 1_500_000, 0), 1_500_000_000);
        assert_eq!(second(9, 1_500_000_001, 0), 1_500_000_001);
        assert_eq!(second(12, 1_500_000_001_999, 0), 1_500_000_001);
        assert_eq!(second(0x80, 3, 0), 3_000_000_000);
        assert_eq!(second(0x8a, 1_536, 0), 1_500_000_000);
        assert_eq!(second(0x80 | 32, 3 << 31, 0), 1_500_000_000);
        assert_eq!(second(0x80 | 63, 3 << 62, 0), 1_500_000_000);
        assert_eq!(second(6, 1_500_000, -2), -500_000_000);
        assert_eq!(second(6, 1_500_000, i64::MIN), i64::MIN + 1_500_000_000);
        // Beyond what fits: the finest resolution, the latest time.
        assert_eq!(second(127, u64::MAX, 0), 1_000_000_000);
        assert_eq!(second(0, u64::MAX, 0), i64::MAX);
    }
}
