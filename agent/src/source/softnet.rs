//! What each processor did with received packets before any protocol saw them: /proc/net/softnet_stat. The kernel counts
//! these for the whole host, not by namespace.

use super::proc_file::ProcFile;
use super::sample::{Family, Name};
use super::{SECOND, Sample, Scope, Source, SourceError, SourceKind};
use dropscope_core::log::block::{CounterKind, Station, Unit};

pub(super) const KIND: SourceKind = SourceKind {
    name: "softnet",
    about: "packets each processor took from devices, dropped from its backlog, or left for later",
    scope: Scope::Host,
    interval: SECOND,
    open: |_| Ok(Box::new(Softnet(ProcFile::open(PATH).map_err(|error| failed(&error))?))),
};

const PATH: &str = "/proc/thread-self/net/softnet_stat";

const fn family(unit: Unit, kind: CounterKind) -> Family {
    Family { unit, kind, source: "/proc/net/softnet_stat", station: Some(Station::Backlog) }
}
static PACKETS: Family = family(Unit::Packets, CounterKind::Monotonic);
static COUNT: Family = family(Unit::Count, CounterKind::Monotonic);
static LENGTH: Family = family(Unit::Packets, CounterKind::Gauge);

/// Column, key, kernel's name, family (net/core/net-procfs.c, softnet_seq_show).
const COLUMNS: [(usize, &str, &str, &Family); 7] = [
    (0, "softnet.processed", "processed", &PACKETS),
    (1, "softnet.dropped", "dropped", &PACKETS),
    (2, "softnet.time_squeeze", "time_squeeze", &COUNT),
    (9, "softnet.received_rps", "received_rps", &COUNT),
    (10, "softnet.flow_limit", "flow_limit_count", &PACKETS),
    (13, "softnet.input_qlen", "input_qlen", &LENGTH),
    (14, "softnet.process_qlen", "process_qlen", &LENGTH),
];
/// The column that names the processor, since kernel 5.14; before, lines stand in the order of online processors.
const CPU_COLUMN: usize = 12;

struct Softnet(ProcFile);

fn failed(error: &std::io::Error) -> SourceError {
    SourceError::from_io(PATH, "read access", error)
}

impl Source for Softnet {
    fn name(&self) -> &'static str {
        KIND.name
    }

    fn poll(&mut self, out: &mut Sample) -> Result<(), SourceError> {
        let text = self.0.read().map_err(|error| failed(&error))?;
        for (cpu, columns) in parse(text) {
            for (column, key, kernel_name, family) in COLUMNS {
                if let Some(&value) = columns.get(column) {
                    let name = Name { key: key.into(), cpu: Some(cpu), ..Name::default() };
                    out.read(family, name, kernel_name, u64::from(value));
                }
            }
        }
        Ok(())
    }
}

/// Processor and columns of each line; the columns are hexadecimal and 32 bits wide.
fn parse(text: &str) -> Vec<(u32, Vec<u32>)> {
    let line = |(at, line): (usize, &str)| {
        let columns = line.split_ascii_whitespace().map(|word| u32::from_str_radix(word, 16).ok()).collect::<Option<Vec<_>>>()?;
        Some((columns.get(CPU_COLUMN).copied().unwrap_or(at as u32), columns))
    };
    text.lines().enumerate().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_belongs_to_the_processor_it_names() {
        // /proc/net/softnet_stat, kernel 6.18, processors 0 and 2 online.
        let text = "0000000e 00000001 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000\n\
                    00004733 00000000 0000000a 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000002 00000000 00000000\n";
        let read: Vec<_> = parse(text).into_iter().map(|(cpu, columns)| (cpu, columns[0], columns[1], columns[2])).collect();
        assert_eq!(read, [(0, 14, 1, 0), (2, 0x4733, 0, 10)]);
    }

    #[test]
    fn an_older_kernel_counts_its_lines() {
        let read = parse("00000001 00000002 00000003\n00000004 00000005 00000006\n");
        assert_eq!(read.iter().map(|(cpu, _)| *cpu).collect::<Vec<_>>(), [0, 1]);
    }
}
