//! Both paths side by side: [`Script`] compares them after each packet.

use crate::flow::script::Script;
#[cfg(not(target_arch = "wasm32"))]
use proptest::prelude::*;

/// A handshake that has ended.
const OPEN: &str = "
    0.000 C S 0 <mss 1460,sackOK,TS 100:0,wscale 7>
    0.010 S S. 0 ack 1 <mss 1460,sackOK,TS 900:100,wscale 7>
    0.011 C . 1 ack 1 <TS 101:900>
";

#[track_caller]
fn takes(script: &str, fast: &[u32]) {
    assert_eq!(Script::run(&format!("{OPEN}{script}")).taken_fast, fast);
}

#[test]
fn an_ordinary_conversation_takes_the_fast_path_from_the_end_of_its_handshake_on() {
    takes(
        "
        0.012 C P. 1(100) ack 1 <TS 102:900>
        0.020 S . 1(1448) ack 101 <TS 910:102>
        0.021 S P. 1449(1448) ack 101 <TS 910:102>
        0.022 C . 101 ack 2897 <TS 112:910>
        0.023 S F. 2897 ack 101 <TS 911:112>
        0.024 C F. 101 ack 2898 <TS 113:911>
        0.034 S . 2898 ack 102 <TS 920:113>
        ",
        &[3, 4, 5, 6, 7, 8, 9, 10],
    );
}

#[test]
fn what_has_a_label_a_verdict_or_other_options_takes_the_general_path() {
    takes(
        "
        0.012 C P. 1(100) ack 1 <TS 102:900>
        0.020 S . 1449(1448) ack 101 <TS 910:102>
        0.021 C . 101 ack 1 <sack 1449:2897>
        0.022 S . 1(1448) ack 101 <TS 912:102>
        0.023 C . 101 ack 2897 <TS 114:912>
        0.024 S . 2897(3000) ack 101 <TS 914:114>
        0.025 C . 101 ack 5897 win 0 <TS 115:914>
        0.026 C . 101 ack 5897 win 900 <TS 115:914>
        0.027 S R. 5897 ack 101
        ",
        // Nor does the ACK that settles a hole, a segment that offload joined, or a window that closes or opens.
        &[3, 4],
    );
}

#[test]
fn a_conversation_without_its_beginning_takes_it_once_both_sides_have_spoken() {
    assert_eq!(
        Script::run(
            "
            0.1 C P. 1(10) ack 1
            0.2 S P. 1(10) ack 11
            0.3 C P. 11(10) ack 11
            0.4 S . 11 ack 21
            "
        )
        .taken_fast,
        [3, 4]
    );
}

/// One packet of a random conversation: who, what, how much, and when.
#[cfg(not(target_arch = "wasm32"))]
type Step = (bool, u8, u16, u16);

/// Numbers as the two sides have come along.
#[cfg(not(target_arch = "wasm32"))]
#[derive(Default)]
struct Course {
    micros: u64,
    next: [u32; 2],
    last: String,
}

#[cfg(not(target_arch = "wasm32"))]
impl Course {
    /// A line of a script: mostly what comes next, in between whatever may come, too.
    fn line(&mut self, (server, what, amount, apart): Step) -> String {
        let (own, peer) = (usize::from(server), usize::from(!server));
        // From a microsecond to a second, and sometimes back.
        self.micros += 1 << (apart & 31).min(20);
        let micros = if apart & 0x3f == 0x3f { self.micros.saturating_sub(3_000) } else { self.micros };
        let amount = u32::from(amount);
        let (mut seq, mut ack, mut len, mut win, mut flags) = (self.next[own], self.next[peer], 0, 500, ".");
        match what {
            0..30 => len = amount % 1_448 + 1,
            30..45 => {}
            45..48 => (seq, len) = (seq + amount % 5_000, 1_000),
            48..52 => (seq, len) = (seq.saturating_sub(amount % 5_000), amount % 1_500),
            52..55 => ack = ack.saturating_sub(amount % 4_000),
            55..57 => ack += amount % 3_000,
            57 => win = 0,
            58 => win = amount % 3,
            59 => flags = "F.",
            60 => flags = ["R", "R.", "S", "S.", "P", "FP."][amount as usize % 6],
            61 => len = 1_448 + amount % 4_000,
            62 => (seq, len) = (seq.saturating_sub(1), amount % 2),
            _ if !self.last.is_empty() => return format!("{}.{:06} {}", micros / 1_000_000, micros % 1_000_000, self.last),
            _ => {}
        }
        self.next[own] = self.next[own].max(seq + len + u32::from(flags.contains(['F', 'S'])));
        let options = match apart >> 6 & 15 {
            0..9 => format!("<TS {}:{}>", micros / 1_000, micros / 2_000),
            9 => format!("<TS {}:1,sack {}:{}>", micros / 1_000, ack + amount % 2_000, ack + 2_000),
            10 => "<wscale 3>".to_owned(),
            _ => String::new(),
        };
        let point = u32::from(apart >> 10 == 7);
        let id = if apart >> 12 == 0 { 0 } else { micros % 60_000 };
        let who = ["C", "S"][own];
        self.last = format!("{who} {flags} {seq}({len}) ack {ack} win {win} id {id} if {point} {options}");
        format!("{}.{:06} {}", micros / 1_000_000, micros % 1_000_000, self.last)
    }
}

#[cfg(not(target_arch = "wasm32"))]
proptest! {
    #[test]
    fn random_conversations_are_the_same_on_both_paths(
        opened in any::<bool>(),
        steps in prop::collection::vec((any::<bool>(), 0..64_u8, any::<u16>(), any::<u16>()), 1..200),
    ) {
        let mut course = Course { micros: 11_000, next: [1, 1], last: String::new() };
        let mut script = if opened { OPEN.to_owned() } else { String::new() };
        for step in steps {
            script.push_str(&course.line(step));
            script.push('\n');
        }
        Script::run(&script);
    }
}
