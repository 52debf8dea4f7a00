//! Conversations with what they must be told as.

use super::script::Script;

mod judged;

#[track_caller]
fn check(script: &str, told: &str) {
    let clean = |text: &str| text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n");
    let got = Script::run(script).told();
    assert_eq!(clean(&got), clean(told), "told in full:\n{got}");
}

const OPEN: &str = "
    0.000 C S 0 <mss 1460,sackOK,TS 100:0,wscale 7>
    0.010 S S. 0 ack 1 <mss 1460,sackOK,TS 900:100,wscale 7>
    0.011 C . 1 ack 1 <TS 101:900>
";

#[track_caller]
fn check_open(script: &str, told: &str) {
    check(&format!("{OPEN}{script}"), told);
}

#[test]
fn the_reference_case_shows_the_bytes_that_never_came() {
    const SCRIPT: &str = "
        isn C 332257715 S 1630206251
        0.589235 C S 0 win 29200 <mss 1418,sackOK,TS 486800541:0,wscale 7>
        0.589277 S S. 0 ack 1 win 4880 <mss 256,sackOK,TS 2509376001:486800541,wscale 7>
        0.589894 C . 1 ack 1 win 229 <TS 486800541:2509376001>
        3.589352 C F. 76 ack 1 win 229 <TS 486803541:2509376001>
        3.589417 S . 1 ack 1 win 40 <TS 2509379001:486800541,sack 76:77>
    ";
    check(
        SCRIPT,
        "
        4: lost_segment
        5: window_update
        flow 0 port 40000, complete 23, syn 1, syn-ack 2, ack 3, rtt 659 µs
        C 3 packets, 0 bytes, to 76, acked 0, missing 75 in 1, fin 4
        hole 1-75 noticed 4 missed 5
        S 2 packets, 0 bytes, to 0, acked 0
        ",
    );
    // What the 75 missing bytes would have been wrapped in: 20 of IP and 32 of TCP.
    let script = Script::run(SCRIPT);
    let flow = script.table.iter().next().expect("the script has a conversation");
    assert_eq!(flow.sides[0].header_bytes(), Some(52));
    assert_eq!(flow.sides[0].sizes(), [(52, 2), (60, 1)]);
}

#[test]
fn syns_sent_again_are_one_flow_and_a_new_isn_is_another() {
    check(
        "
        0 C S 0 <mss 1460>
        1 C S 0 <mss 1460>
        3 C S 0 <mss 1460>
        isn C 77000
        9 C S 0 <mss 1460>
        ",
        "
        2: retransmission, rto 1.00 s, judged LostAfterTap of 1 by SeenBefore; Timeout by Waited after 1.00 s
        3: retransmission, rto 3.00 s, judged LostAfterTap of 1 by SeenBefore; Timeout by WaitDoubled after 2.00 s
        4: reused_ports
        flow 0 port 40000, complete 1, syn 1 x3
          C 3 packets, 0 bytes, to 0, 2 sent again (2 timeout)
        flow 1 port 40000, complete 1, syn 4
          C 1 packets, 0 bytes, to 0
        ",
    );
}

#[test]
fn a_refusal_and_a_rejection_are_told_apart() {
    check(
        "
        0.0 C S 0
        0.1 S R. 0 ack 1
        port 40001
        1.0 C S 0
        1.1 R icmp 3/13 C
        port 40002
        2.0 C S 0
        2.1 R icmp 3/4 mtu 1400 C
        ",
        "
        flow 0 port 40000, complete 37, syn 1, refused 2, rtt 100 ms
          C 1 packets, 0 bytes, to 0
          S 1 packets, 0 bytes, to 0
        flow 1 port 40001, complete 1, syn 3, icmp 3/13 at 4 about AToB
          C 1 packets, 0 bytes, to 0
        flow 2 port 40002, complete 1, syn 5, icmp 3/4 at 6 about AToB mtu 1400
          C 1 packets, 0 bytes, to 0
        ",
    );
}

#[test]
fn syn_acks_sent_again() {
    check(
        "
        0.00 C S 0
        0.01 S S. 0 ack 1
        1.01 S S. 0 ack 1
        3.01 S S. 0 ack 1
        ",
        "
        3: retransmission, rto 1.00 s, judged LostAfterTap of 2 by SeenBefore; Timeout by Waited after 1.00 s
        4: retransmission, rto 3.00 s, judged LostAfterTap of 2 by SeenBefore; Timeout by WaitDoubled after 2.00 s
        flow 0 port 40000, complete 3, syn 1, syn-ack 2 x3
          C 1 packets, 0 bytes, to 0, acked 0
          S 3 packets, 0 bytes, to 0, 2 sent again (2 timeout)
        ",
    );
}

#[test]
fn reordering_leaves_no_hole() {
    check_open(
        "
        0.020 C . 1(100) ack 1 <TS 102:900>
        0.021 C . 201(100) ack 1 <TS 102:900>
        0.022 C . 101(100) ack 1 <TS 102:900>
        0.030 S . 1 ack 301 <TS 901:102>
        ",
        "
        5: lost_segment
        6: out_of_order, judged Reordered by SoonerThanRoundTrip after 1.00 ms and 1
        flow 0 port 40000, complete 15, syn 1, syn-ack 2, ack 3, rtt 11.0 ms
          C 5 packets, 300 bytes, to 300, acked 300, 1 out of order
          S 2 packets, 0 bytes, to 0, acked 0
        ",
    );
}

/// TShark 4.0 on the same conversation: an ACK whose sender has, since its last segment, seen MPTCP tell of something new is no
/// duplicate (4, 5, 6, 9); its own option counts from the next segment on (8), and one of a kind seen before does not (7).
#[test]
fn an_ack_sent_for_an_mptcp_option_is_no_duplicate() {
    check(
        "
        0.000 C S 0 <mss 1460>
        0.010 S S. 0 ack 1 <mss 1460,mptcp 0>
        0.011 C . 1 ack 1 <mptcp 0>
        0.020 S . 1 ack 1 <mptcp 2>
        0.030 C . 1 ack 1 <mptcp 3>
        0.031 C . 1 ack 1
        0.032 C . 1 ack 1 <mptcp 2>
        0.033 C . 1 ack 1 <mptcp 4>
        0.034 C . 1 ack 1
        0.035 C . 1 ack 1
        ",
        "
        7: duplicate_ack, #1, judged NoLossTold by NothingOutstanding
        8: duplicate_ack, #2, judged NoLossTold by NothingOutstanding
        10: duplicate_ack, #3, judged NoLossTold by NothingOutstanding
        flow 0 port 40000, complete 7, syn 1, syn-ack 2, ack 3, rtt 11.0 ms
          C 8 packets, 0 bytes, to 0, acked 0
          S 2 packets, 0 bytes, to 0, acked 0
        ",
    );
}

#[test]
fn loss_before_the_tap_is_missed_by_the_peer_and_filled() {
    check_open(
        "
        0.020 C . 1(100) ack 1 <TS 102:900>
        0.021 C . 201(100) ack 1 <TS 102:900>
        0.022 C . 301(100) ack 1 <TS 102:900>
        0.030 S . 1 ack 101 <TS 901:102,sack 201:301>
        0.031 S . 1 ack 101 <TS 901:102,sack 201:401>
        0.300 C . 101(100) ack 1 <TS 130:901>
        0.310 S . 1 ack 401 <TS 931:130>
        ",
        "
        5: lost_segment
        8: duplicate_ack, #1
        9: retransmission, rto 279 ms, judged LostBeforeTap by NewerTsval; Timeout by Waited after 279 ms
        flow 0 port 40000, complete 15, syn 1, syn-ack 2, ack 3, rtt 11.0 ms
          C 6 packets, 400 bytes, to 400, acked 400, 1 sent again (1 timeout)
            hole 101-200 noticed 5 missed 7 filled 9
          S 4 packets, 0 bytes, to 0, acked 0, 1 dup acks
        ",
    );
}

#[test]
fn acked_and_never_sent_again_was_lost_by_the_capture() {
    check_open(
        "
        0.020 C . 1(100) ack 1 <TS 102:900>
        0.022 C . 301(100) ack 1 <TS 102:900>
        0.030 S . 1 ack 401 <TS 901:102>
        0.050 S . 1 ack 501 <TS 903:104>
        ",
        "
        5: lost_segment
        6: ack_lost_segment, judged CaptureMissed by PeerHasThem
        7: ack_lost_segment, judged CaptureMissed by PeerHasThem
        flow 0 port 40000, complete 15, syn 1, syn-ack 2, ack 3, rtt 11.0 ms
          C 4 packets, 200 bytes, to 500, acked 500, missing 300 in 2
            hole 101-300 noticed 5 acked 6
            hole 401-500 noticed 7 acked 7
          S 3 packets, 0 bytes, to 0, acked 0
        ",
    );
}

#[test]
fn data_sent_again_and_never_acknowledged_is_stuck() {
    check_open(
        "
        0.020 C . 1(1448) ack 1 <TS 102:900>
        0.230 C . 1(1448) ack 1 <TS 123:900>
        0.650 C . 1(1448) ack 1 <TS 165:900>
        1.490 C . 1(1448) ack 1 <TS 249:900>
        ",
        "
        5: retransmission, rto 210 ms, judged LostAfterTap of 4 by SeenBefore; Timeout by Waited after 210 ms, tail
        6: retransmission, rto 630 ms, judged LostAfterTap of 4 by SeenBefore; Timeout by WaitDoubled after 420 ms
        7: retransmission, rto 1.47 s, judged LostAfterTap of 4 by SeenBefore; Timeout by WaitDoubled after 840 ms
        flow 0 port 40000, complete 15, syn 1, syn-ack 2, ack 3, rtt 11.0 ms
          C 6 packets, 5792 bytes, to 1448, acked 0, 3 sent again (3 timeout)
            stuck 1-1448 x4 from 4 to 7, 1500 bytes of IP
          S 1 packets, 0 bytes, to 0, acked 0
        ",
    );
}

#[test]
fn data_sent_again_and_acknowledged_is_not() {
    check_open(
        "
        0.020 C . 1(1448) ack 1 <TS 102:900>
        0.230 C . 1(1448) ack 1 <TS 123:900>
        0.650 C . 1(1448) ack 1 <TS 165:900>
        0.660 S . 1 ack 1449 <TS 965:165>
        ",
        "
        5: retransmission, rto 210 ms, judged LostAfterTap of 4 by SeenBefore; Timeout by Waited after 210 ms, tail
        6: retransmission, rto 630 ms, judged LostAfterTap of 4 by SeenBefore; Timeout by WaitDoubled after 420 ms
        flow 0 port 40000, complete 15, syn 1, syn-ack 2, ack 3, rtt 11.0 ms
          C 5 packets, 4344 bytes, to 1448, acked 1448, 2 sent again (2 timeout), 1 tail losses for 630 ms
          S 2 packets, 0 bytes, to 0, acked 0
        ",
    );
}

#[test]
fn a_window_that_closes_is_probed() {
    check_open(
        "
        0.020 C . 1(100) ack 1 win 50
        0.021 S . 1 ack 101 win 0
        0.221 C . 101(1) ack 1 win 50
        0.222 S . 1 ack 101 win 0
        0.621 C . 101(1) ack 1 win 50
        0.622 S . 1 ack 101 win 0
        0.900 S . 1 ack 101 win 100
        0.901 C . 101(100) ack 1 win 50
        ",
        "
        5: zero_window
        6: zero_window_probe
        7: zero_window, zero_window_probe_ack
        8: zero_window_probe
        9: zero_window, zero_window_probe_ack
        10: window_update
        flow 0 port 40000, complete 15, syn 1, syn-ack 2, ack 3, rtt 11.0 ms
          C 6 packets, 202 bytes, to 200, acked 100, 2 probes
          S 5 packets, 0 bytes, to 0, acked 0, 3 zero windows, closed x1 for 879 ms, longest 879 ms
        ",
    );
}

#[test]
fn keep_alives_are_not_retransmissions() {
    check_open(
        "
        0.02 C . 1(100) ack 1
        0.03 S . 1 ack 101
        60.0 C . 100 ack 1
        60.1 S . 1 ack 101
        120.0 C . 100(1) ack 1
        120.1 S . 1 ack 101
        ",
        "
        6: keep_alive
        7: keep_alive_ack
        8: keep_alive
        9: keep_alive_ack
        flow 0 port 40000, complete 15, syn 1, syn-ack 2, ack 3, rtt 11.0 ms
          C 5 packets, 101 bytes, to 100, acked 100
          S 4 packets, 0 bytes, to 0, acked 0
        ",
    );
}

#[test]
fn numbers_that_wrap_are_no_fault() {
    check(
        "
        isn C 4294967200 S 4294967290
        0.00 C S 0
        0.01 S S. 0 ack 1
        0.02 C . 1 ack 1
        0.03 C . 1(90) ack 1
        0.04 C . 91(90) ack 1
        0.05 S . 1(100) ack 91
        0.06 S . 101 ack 181
        0.07 C . 281(90) ack 101
        0.08 S . 101 ack 181 <sack 281:371>
        0.40 C . 181(100) ack 101
        0.41 S . 101 ack 371
        ",
        "
        8: lost_segment
        9: duplicate_ack, #1
        10: retransmission, rto 330 ms, judged LostBeforeTap by LaterThanRoundTrip; Timeout by Waited after 330 ms
        flow 0 port 40000, complete 15, syn 1, syn-ack 2, ack 3, rtt 20.0 ms
          C 6 packets, 370 bytes, to 370, acked 370, 1 sent again (1 timeout)
            hole 181-280 noticed 8 missed 9 filled 10
          S 5 packets, 100 bytes, to 100, acked 100, 1 dup acks
        ",
    );
}

/// A relay between two networks shows each packet before and after itself, on one interface.
#[test]
fn the_same_packet_is_a_copy_at_any_distance_where_identifications_change() {
    check(
        "
        0.00 C S 0 id 11
        0.03 C S 0 id 11
        0.05 S S. 0 ack 1 id 21
        0.06 C . 1(100) ack 1 id 12
        0.30 C . 1(100) ack 1 id 12
        0.60 C . 1(100) ack 1 id 13
        ",
        "
        2: retransmission, rto 30.0 ms, copy of 1
        5: retransmission, rto 240 ms, copy of 4
        6: retransmission, rto 540 ms, judged LostAfterTap of 4 by SeenBefore; Timeout by Waited after 300 ms, tail
        flow 0 port 40000, complete 11, syn 1, syn-ack 3, ack 4, rtt 30.0 ms
          C 5 packets, 300 bytes, to 100, acked 0, 1 sent again, 2 copies (1 timeout)
            stuck 1-100 x2 from 4 to 6, 140 bytes of IP
          S 1 packets, 0 bytes, to 0, acked 0
        ",
    );
    // All of one sender have the same: it says nothing.
    check(
        "
        0.00 C S 0 id 11
        0.05 S S. 0 ack 1 id 21
        0.06 C . 1(100) ack 1 id 11
        0.30 C . 1(100) ack 1 id 11
        ",
        "
        4: retransmission, rto 240 ms, judged LostAfterTap of 3 by SeenBefore; Timeout by Waited after 240 ms, tail
        flow 0 port 40000, complete 11, syn 1, syn-ack 2, ack 3, rtt 60.0 ms
          C 3 packets, 200 bytes, to 100, acked 0, 1 sent again (1 timeout)
            stuck 1-100 x2 from 3 to 4, 140 bytes of IP
          S 1 packets, 0 bytes, to 0, acked 0
        ",
    );
}

#[test]
fn copies_on_two_interfaces_are_no_retransmissions() {
    check(
        "
        0.000000 C S 0 id 11 if 0
        0.000005 C S 0 id 11 if 1
        0.010000 S S. 0 ack 1 id 0 if 1
        0.010004 S S. 0 ack 1 id 0 if 0
        0.011000 C . 1 ack 1 id 12 if 0
        0.011006 C . 1 ack 1 id 12 if 1
        0.012000 C . 1(100) ack 1 id 13 if 0
        0.012003 C . 101(100) ack 1 id 14 if 0
        0.012008 C . 1(100) ack 1 id 13 if 1
        0.012012 C . 101(100) ack 1 id 14 if 1
        0.300000 C . 101(100) ack 1 id 15 if 0
        0.300009 C . 101(100) ack 1 id 15 if 1
        ",
        "
        2: retransmission, rto 5.00 µs, copy of 1
        4: retransmission, rto 4.00 µs, copy of 3
        6: duplicate_ack, #1, copy of 5
        9: out_of_order, copy of 7
        10: retransmission, rto 12.0 µs, copy of 8
        11: retransmission, rto 288 ms, judged LostAfterTap of 8 by SeenBefore; TailLossProbe by NewestFirst after 288 ms, tail
        12: retransmission, rto 288 ms, copy of 11
        flow 0 port 40000, complete 15, syn 1, syn-ack 3, ack 5, rtt 11.0 ms
          C 10 packets, 600 bytes, to 200, acked 0, 1 sent again, 5 copies (1 tail_loss_probe)
            stuck 101-200 x2 from 8 to 11, 140 bytes of IP
          S 2 packets, 0 bytes, to 0, acked 0, 1 copies
        ",
    );
}

#[test]
fn what_offload_cuts_otherwise_at_another_capture_point_is_a_copy() {
    check(
        "
        # The sender's host shows one packet before the card cuts it, the receiver's three; then the receiver's log is ahead.
        0.000000 C S 0 id 11 if 0
        0.000020 C S 0 id 11 if 1
        0.000030 S S. 0 ack 1 id 0 if 1
        0.000050 S S. 0 ack 1 id 0 if 0
        0.000060 C . 1 ack 1 id 12 if 0
        0.000080 C . 1 ack 1 id 12 if 1
        0.001000 C . 1(300) ack 1 id 13 if 0
        0.001020 C . 1(100) ack 1 id 13 if 1
        0.001021 C . 101(100) ack 1 id 14 if 1
        0.001022 C . 201(100) ack 1 id 15 if 1
        0.002020 C . 301(100) ack 1 id 16 if 1
        0.002021 C . 401(100) ack 1 id 17 if 1
        0.002000 C . 301(300) ack 1 id 16 if 0
        0.002022 C . 501(100) ack 1 id 18 if 1
        # One segment is lost behind both and sent again: once, though both show it.
        0.003000 S . 1 ack 501 id 5 if 1
        0.003020 S . 1 ack 501 id 5 if 0
        0.300000 C . 501(100) ack 1 id 19 if 0
        0.300020 C . 501(100) ack 1 id 19 if 1
        ",
        "
        2: retransmission, rto 20.0 µs, copy of 1
        4: retransmission, rto 20.0 µs, copy of 3
        6: duplicate_ack, #1, copy of 5
        8: out_of_order, copy of 7
        9: out_of_order, copy of 7
        10: retransmission, rto 22.0 µs, copy of 7
        13: retransmission, rto 1.00 ms, copy of 11
        14: retransmission, rto 1.02 ms, copy of 13
        16: duplicate_ack, #1, copy of 15
        17: retransmission, rto 298 ms, judged LostAfterTap of 13 by SeenBefore; Timeout by Waited after 298 ms, tail
        18: retransmission, rto 298 ms, copy of 17
        flow 0 port 40000, complete 15, syn 1, syn-ack 3, ack 5, rtt 40.0 µs
          C 14 packets, 1400 bytes, to 600, acked 500, 1 sent again, 8 copies (1 timeout)
            stuck 501-600 x2 from 13 to 17, 140 bytes of IP
          S 4 packets, 0 bytes, to 0, acked 0, 2 copies
        ",
    );
}

#[test]
fn called_out_of_order_but_lost_and_sent_again_by_tsval() {
    check_open(
        "
        # GitLab 13863, 13843: within the round-trip time, yet sent anew.
        0.020 C . 1(100) ack 1 <TS 102:900>
        0.021 C . 201(100) ack 1 <TS 102:900>
        0.026 C . 101(100) ack 1 <TS 108:900>
        ",
        "
        5: lost_segment
        6: out_of_order, judged LostBeforeTap by NewerTsval after 5.00 ms
        flow 0 port 40000, complete 15, syn 1, syn-ack 2, ack 3, rtt 11.0 ms
          C 5 packets, 300 bytes, to 300, acked 0, 1 sent again
            stuck 101-200 x1 from 6 to 6, 152 bytes of IP
          S 1 packets, 0 bytes, to 0, acked 0
        ",
    );
}

#[test]
fn called_retransmission_but_only_late_by_tsval() {
    check_open(
        "
        # GitLab 15993: later than the round-trip time, yet sent before.
        0.020 C . 1(100) ack 1 <TS 102:900>
        0.021 C . 201(100) ack 1 <TS 104:900>
        0.080 C . 101(100) ack 1 <TS 103:900>
        ",
        "
        5: lost_segment
        6: retransmission, rto 60.0 ms, judged Reordered by OlderTsval after 59.0 ms and 1
        flow 0 port 40000, complete 15, syn 1, syn-ack 2, ack 3, rtt 11.0 ms
          C 5 packets, 300 bytes, to 300, acked 0, 1 out of order
          S 1 packets, 0 bytes, to 0, acked 0
        ",
    );
}

#[test]
fn without_time_stamps_the_identification_tells() {
    check(
        "
        0.00 C S 0
        0.01 S S. 0 ack 1
        0.02 C . 1 ack 1
        0.03 C . 1(100) ack 1 id 10
        0.04 C . 201(100) ack 1 id 12
        0.20 C . 101(100) ack 1 id 11
        0.21 C . 401(100) ack 1 id 13
        0.22 C . 301(100) ack 1 id 14
        ",
        "
        5: lost_segment
        6: retransmission, rto 170 ms, judged Reordered by OlderIdentification after 160 ms and 1
        7: lost_segment
        8: out_of_order, judged LostBeforeTap by NewerIdentification after 10.0 ms
        flow 0 port 40000, complete 15, syn 1, syn-ack 2, ack 3, rtt 20.0 ms
          C 7 packets, 500 bytes, to 500, acked 0, 1 sent again, 1 out of order
            stuck 301-400 x1 from 8 to 8, 140 bytes of IP
          S 1 packets, 0 bytes, to 0, acked 0
        ",
    );
}

#[test]
fn sent_again_though_acknowledged() {
    check_open(
        "
        0.020 C . 1(100) ack 1
        0.030 S . 1 ack 101
        0.300 C . 1(100) ack 1
        ",
        "
        6: retransmission, spurious_retransmission, judged SentNeedlessly by Acknowledged; Timeout by Waited after 280 ms
        flow 0 port 40000, complete 15, syn 1, syn-ack 2, ack 3, rtt 11.0 ms
          C 4 packets, 200 bytes, to 100, acked 100, 1 sent again (1 timeout), 1 needless
          S 2 packets, 0 bytes, to 0, acked 0
        ",
    );
}

#[test]
fn called_acked_unseen_though_all_was_seen() {
    check_open(
        "
        # GitLab 8404, 18558: the retransmission begins before the gap.
        0.020 C . 1(100) ack 1 <TS 102:900>
        0.021 C . 201(100) ack 1 <TS 102:900>
        0.300 C . 51(150) ack 1 <TS 130:900>
        0.310 S . 1 ack 301 <TS 930:130>
        ",
        "
        5: lost_segment
        6: retransmission, rto 280 ms, judged LostBeforeTap by NewerTsval; Timeout by Waited after 279 ms
        7: ack_lost_segment, judged NothingMissing by AllSeen
        flow 0 port 40000, complete 15, syn 1, syn-ack 2, ack 3, rtt 11.0 ms
          C 5 packets, 350 bytes, to 300, acked 300, 1 sent again (1 timeout)
          S 2 packets, 0 bytes, to 0, acked 0
        ",
    );
}

#[test]
fn called_keep_alive_but_asks_a_closed_window() {
    check_open(
        "
        0.020 C . 1(100) ack 1
        0.021 S . 1 ack 101 win 0
        0.221 C . 100 ack 1
        0.222 S . 1 ack 101 win 0
        ",
        "
        5: zero_window
        6: keep_alive, judged ZeroWindowProbe by WindowClosed
        7: zero_window
        flow 0 port 40000, complete 15, syn 1, syn-ack 2, ack 3, rtt 11.0 ms
          C 4 packets, 100 bytes, to 100, acked 100, 1 probes
          S 3 packets, 0 bytes, to 0, acked 0, 2 zero windows
        ",
    );
}
