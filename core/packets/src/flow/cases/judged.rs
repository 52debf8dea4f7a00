//! What made a sender send again, and what was needless: conversations with what they must be told as.

use super::{check, check_open};

#[test]
fn the_newest_again_is_a_tail_loss_probe() {
    check_open(
        "
        0.020 C . 1(100) ack 1
        0.021 C . 101(100) ack 1
        0.022 C . 201(100) ack 1
        0.031 S . 1 ack 201
        0.060 C . 201(100) ack 1
        0.071 S . 1 ack 301
        ",
        "
        8: retransmission, rto 38.0 ms, judged LostAfterTap of 6 by SeenBefore; TailLossProbe by SoonerThanTimer after 38.0 ms, tail
        flow 0 port 40000, complete 15, syn 1, syn-ack 2, ack 3, rtt 11.0 ms
          C 6 packets, 400 bytes, to 300, acked 300, 1 sent again (1 tail_loss_probe), 1 tail losses for 38.0 ms
          S 3 packets, 0 bytes, to 0, acked 0
        ",
    );
}

#[test]
fn a_probe_of_the_only_segment_is_known_by_the_wait_after_it() {
    // Linux 6: with one segment in flight the probe waits as long as the timer, which then begins anew.
    check_open(
        "
        0.020 C . 1(100) ack 1
        0.231 C . 1(100) ack 1
        0.442 C . 1(100) ack 1
        0.864 C . 1(100) ack 1
        0.874 S . 1 ack 101
        ",
        "
        5: retransmission, rto 211 ms, judged LostAfterTap of 4 by SeenBefore; Timeout by Waited after 211 ms, tail
        6: retransmission, rto 422 ms, judged LostAfterTap of 4 by SeenBefore; Timeout by Waited after 211 ms, so 5 was LostAfterTap of 4 by SeenBefore; TailLossProbe by WaitNotDoubled after 211 ms, tail
        7: retransmission, rto 844 ms, judged LostAfterTap of 4 by SeenBefore; Timeout by WaitDoubled after 422 ms
        flow 0 port 40000, complete 15, syn 1, syn-ack 2, ack 3, rtt 11.0 ms
          C 6 packets, 400 bytes, to 100, acked 100, 3 sent again (2 timeout, 1 tail_loss_probe), 1 tail losses for 844 ms
          S 2 packets, 0 bytes, to 0, acked 0
        ",
    );
}

#[test]
fn three_duplicate_acks_make_it_fast_and_a_partial_ack_goes_on() {
    check(
        "
        0.000 C S 0 <mss 1460>
        0.010 S S. 0 ack 1 <mss 1460>
        0.020 C . 1 ack 1
        0.030 C . 1(100) ack 1
        0.031 C . 101(100) ack 1
        0.032 C . 201(100) ack 1
        0.033 C . 301(100) ack 1
        0.034 C . 401(100) ack 1
        0.035 C . 501(100) ack 1
        0.045 S . 1 ack 1
        0.046 S . 1 ack 1
        0.047 S . 1 ack 1
        0.048 S . 1 ack 1
        0.049 C . 1(100) ack 1
        0.060 S . 1 ack 201
        0.061 C . 201(100) ack 1
        0.070 S . 1 ack 601
        ",
        "
        10: duplicate_ack, #1
        11: duplicate_ack, #2
        12: duplicate_ack, #3
        13: duplicate_ack, #4
        14: retransmission, fast_retransmission, judged LostAfterTap of 4 by SeenBefore; Fast by DuplicateAcks in 13 after 19.0 ms
        16: retransmission, rto 29.0 ms, judged LostAfterTap of 6 by SeenBefore; Fast by PartialAck after 29.0 ms
        flow 0 port 40000, complete 15, syn 1, syn-ack 2, ack 3, rtt 20.0 ms
          C 10 packets, 800 bytes, to 600, acked 600, 2 sent again (2 fast)
          S 7 packets, 0 bytes, to 0, acked 0, 4 dup acks
        ",
    );
}

#[test]
fn one_sack_above_makes_it_early_and_a_second_loss_is_told_apart() {
    check_open(
        "
        0.020 C . 1(1448) ack 1 <TS 110:900>
        0.020 C . 1449(1448) ack 1 <TS 110:900>
        0.031 S . 1 ack 1 <TS 921:101,sack 1449:2897>
        0.036 C . 1(1448) ack 1 <TS 126:921>
        0.036 C . 2897(1448) ack 1 <TS 126:921>
        0.047 S . 1 ack 1 <TS 937:101,sack 1449:4345>
        0.052 C . 1(1448) ack 1 <TS 142:937>
        0.063 S . 1 ack 4345 <TS 953:142>
        ",
        "
        6: duplicate_ack, #1
        7: retransmission, rto 16.0 ms, judged LostAfterTap of 4 by SeenBefore; Rack by LaterArrived in 6 after 16.0 ms
        9: duplicate_ack, #2
        10: retransmission, fast_retransmission, judged LostAfterTap of 4 by SeenBefore; Rack by LostAgain in 9 after 16.0 ms
        flow 0 port 40000, complete 15, syn 1, syn-ack 2, ack 3, rtt 11.0 ms
          C 7 packets, 7240 bytes, to 4344, acked 4344, 2 sent again (2 rack)
          S 4 packets, 0 bytes, to 0, acked 0, 2 dup acks
        ",
    );
}

#[test]
fn after_a_timeout_what_was_outstanding_follows_the_acks() {
    check_open(
        "
        0.020 C . 1(100) ack 1 <TS 110:900>
        0.021 C . 101(100) ack 1 <TS 111:900>
        0.022 C . 201(100) ack 1 <TS 112:900>
        0.240 C . 1(100) ack 1 <TS 330:900>
        0.251 S . 1 ack 101 <TS 1141:330>
        0.252 C . 101(100) ack 1 <TS 342:1141>
        0.253 C . 201(100) ack 1 <TS 343:1141>
        0.263 S . 1 ack 301 <TS 1153:342>
        ",
        "
        7: retransmission, rto 220 ms, judged LostAfterTap of 4 by SeenBefore; Timeout by Waited after 220 ms, tail
        9: retransmission, rto 231 ms, judged LostAfterTap of 5 by SeenBefore; AfterTimeout by TimeoutBefore after 231 ms
        10: retransmission, rto 232 ms, judged LostAfterTap of 6 by SeenBefore; AfterTimeout by TimeoutBefore after 231 ms
        flow 0 port 40000, complete 15, syn 1, syn-ack 2, ack 3, rtt 11.0 ms
          C 8 packets, 600 bytes, to 300, acked 300, 3 sent again (1 timeout, 2 after_timeout), 1 tail losses for 220 ms
          S 3 packets, 0 bytes, to 0, acked 0
        ",
    );
}

#[test]
fn what_was_acknowledged_selectively_was_sent_needlessly() {
    check_open(
        "
        0.020 C . 1(100) ack 1
        0.021 C . 101(100) ack 1
        0.031 S . 1 ack 1 <sack 101:201>
        0.260 C . 1(100) ack 1
        0.261 C . 101(100) ack 1
        0.270 S . 1 ack 201
        ",
        "
        6: duplicate_ack, #1
        7: retransmission, rto 240 ms, judged LostAfterTap of 4 by SeenBefore; Timeout by Waited after 240 ms
        8: retransmission, rto 241 ms, judged SentNeedlessly of 5 by Sacked; AfterTimeout by TimeoutBefore in 6 after 240 ms
        flow 0 port 40000, complete 15, syn 1, syn-ack 2, ack 3, rtt 11.0 ms
          C 6 packets, 400 bytes, to 200, acked 200, 2 sent again (1 timeout, 1 after_timeout), 1 needless
          S 3 packets, 0 bytes, to 0, acked 0, 1 dup acks
        ",
    );
}

#[test]
fn a_dsack_and_an_older_echo_correct_the_judgement() {
    check_open(
        "
        # The ACK was lost: the receiver has it twice and says so.
        0.020 C . 1(100) ack 1 <TS 110:900>
        0.240 C . 1(100) ack 1 <TS 330:900>
        0.250 S . 1 ack 101 <TS 1140:330,sack 1:101>
        # The ACK was late: it echoes the first sending.
        0.300 C . 101(100) ack 1 <TS 390:1140>
        0.520 C . 101(100) ack 1 <TS 610:1140>
        0.525 S . 1 ack 201 <TS 1410:390>
        # A D-SACK within a stretch above, and one of the network's own making.
        0.530 C . 201(100) ack 1 <TS 620:1410>
        0.531 C . 301(100) ack 1 <TS 621:1410>
        0.541 S . 1 ack 201 <TS 1431:390,sack 301:401>
        0.542 S . 1 ack 201 <TS 1432:390,sack 301:401 301:401>
        ",
        "
        5: retransmission, rto 220 ms, judged LostAfterTap of 4 by SeenBefore; Timeout by Waited after 220 ms, tail
        6: so 5 was SentNeedlessly of 4 by Dsack; Timeout by Waited after 220 ms
        8: retransmission, rto 220 ms, judged LostAfterTap of 7 by SeenBefore; Timeout by Waited after 220 ms, tail
        9: so 8 was SentNeedlessly of 7 by Eifel; Timeout by Waited after 220 ms
        12: duplicate_ack, #1
        13: duplicate_ack, #2
        flow 0 port 40000, complete 15, syn 1, syn-ack 2, ack 3, rtt 11.0 ms
          C 8 packets, 600 bytes, to 400, acked 200, 2 sent again (2 timeout), 2 needless, 1 by dsack, 1 by eifel
          S 5 packets, 0 bytes, to 0, acked 0, 2 dup acks
        ",
    );
}

#[test]
fn a_segment_larger_than_the_mss_counts_as_those_on_the_wire() {
    check_open(
        "
        0.020 C . 1(14480) ack 1 <TS 110:900>
        0.030 S . 1 ack 1449 <TS 920:110>
        0.031 S . 1 ack 1449 <TS 921:110,sack 2897:14481>
        0.032 C . 1449(1448) ack 1 <TS 122:921>
        0.042 S . 1 ack 14481 <TS 932:122>
        0.050 C . 14481(1448) ack 1 <TS 140:932>
        0.050 C . 15929(1448) ack 1 <TS 140:932>
        0.270 C . 14481(2896) ack 1 <TS 360:932>
        ",
        "
        6: duplicate_ack, #1
        7: retransmission, rto 12.0 ms, judged LostAfterTap of 4 by SeenBefore; Fast by SackedAbove in 6 after 12.0 ms
        11: retransmission, rto 220 ms, judged LostAfterTap of 9 by SeenBefore; Timeout by Waited after 220 ms, tail
        flow 0 port 40000, complete 15, syn 1, syn-ack 2, ack 3, rtt 11.0 ms
          C 7 packets, 21720 bytes, to 17376, acked 14480, 3 sent again (2 timeout, 1 fast), 17 segments
            stuck 14481-17376 x2 from 9 to 11, 2948 bytes of IP
          S 4 packets, 0 bytes, to 0, acked 0, 1 dup acks
        ",
    );
}

#[test]
fn how_far_a_late_segment_was_overtaken() {
    check_open(
        "
        0.020 C . 1(100) ack 1 <TS 110:900>
        0.021 C . 201(100) ack 1 <TS 112:900>
        0.022 C . 301(100) ack 1 <TS 112:900>
        0.023 C . 401(100) ack 1 <TS 112:900>
        0.025 C . 101(100) ack 1 <TS 111:900>
        ",
        "
        5: lost_segment
        8: out_of_order, judged Reordered by OlderTsval after 4.00 ms and 3
        flow 0 port 40000, complete 15, syn 1, syn-ack 2, ack 3, rtt 11.0 ms
          C 7 packets, 500 bytes, to 500, acked 0, 1 out of order
          S 1 packets, 0 bytes, to 0, acked 0
        ",
    );
}

#[test]
fn a_window_that_closes_twice_is_timed_and_what_it_refused_was_not_lost() {
    check_open(
        "
        0.020 C . 1(100) ack 1 win 50
        0.021 S . 1 ack 101 win 0
        0.221 C . 101(2) ack 1 win 50
        0.521 S . 1 ack 101 win 100
        0.522 C . 101(100) ack 1 win 50
        0.523 S . 1 ack 201 win 0
        1.023 S . 1 ack 201 win 100
        ",
        "
        5: zero_window
        7: window_update
        8: retransmission, rto 301 ms, judged Refused by WindowClosed after 301 ms
        9: ack_lost_segment, zero_window, judged NothingMissing by AllSeen
        10: window_update
        flow 0 port 40000, complete 15, syn 1, syn-ack 2, ack 3, rtt 11.0 ms
          C 5 packets, 202 bytes, to 200, acked 200, 1 sent again
          S 5 packets, 0 bytes, to 0, acked 0, 2 zero windows, closed x2 for 1.00 s, longest 500 ms
        ",
    );
}

#[test]
fn a_syn_ack_with_another_number_leaves_no_gap() {
    check(
        "
        0.000 C S 0
        0.010 S S. 0 ack 1
        0.020 S S. 72000 ack 1
        0.030 C . 1 ack 72001
        0.040 C . 1(100) ack 72001
        0.050 S . 72001(10) ack 101
        ",
        "
        3: lost_segment, reused_ports, judged SameConversation by AnswersSyn
        4: ack_lost_segment, judged NothingMissing by AllSeen
        flow 0 port 40000, complete 15, syn 1, syn-ack 2 x2, ack 4, rtt 30.0 ms
          C 3 packets, 100 bytes, to 100, acked 100
          S 3 packets, 10 bytes, to 10, acked 0
        ",
    );
}

#[test]
fn a_fin_behind_bytes_that_only_the_capture_missed() {
    check_open(
        "
        0.020 C . 1(100) ack 1
        0.030 C F. 201 ack 1
        0.040 S . 1 ack 202
        ",
        "
        5: lost_segment
        6: ack_lost_segment, judged CaptureMissed by PeerHasThem
        flow 0 port 40000, complete 31, syn 1, syn-ack 2, ack 3, rtt 11.0 ms
          C 4 packets, 100 bytes, to 201, acked 201, missing 100 in 1, fin 5
            hole 101-200 noticed 5 acked 6
          S 2 packets, 0 bytes, to 0, acked 0
        ",
    );
}

/// All is late by a quarter of a second, nothing is lost; the ACKs come back one after the other.
#[test]
fn two_acks_after_a_timeout_that_move_on_show_that_it_came_too_soon() {
    check(
        "
        0.000 C S 0 <mss 1460>
        0.010 S S. 0 ack 1 <mss 1460>
        0.020 C . 1 ack 1
        0.030 C . 1(100) ack 1
        0.031 C . 101(100) ack 1
        0.032 C . 201(100) ack 1
        0.262 C . 1(100) ack 1
        0.290 S . 1 ack 101
        0.291 C . 301(100) ack 1
        0.292 S . 1 ack 201
        0.310 S . 1 ack 401
        ",
        "
        7: retransmission, rto 232 ms, judged LostAfterTap of 4 by SeenBefore; Timeout by Waited after 232 ms, tail
        10: so 7 was SentNeedlessly of 4 by Frto; Timeout by Waited after 232 ms
        flow 0 port 40000, complete 15, syn 1, syn-ack 2, ack 3, rtt 20.0 ms
          C 7 packets, 500 bytes, to 400, acked 400, 1 sent again (1 timeout), 1 needless, 1 by f-rto
          S 4 packets, 0 bytes, to 0, acked 0
        ",
    );
}

/// Near misses: a duplicate ACK between the two, an ACK of all at once, another segment sent again.
#[test]
fn after_a_timeout_one_ack_of_all_or_a_duplicate_shows_nothing() {
    check(
        "
        0.000 C S 0 <mss 1460>
        0.010 S S. 0 ack 1 <mss 1460>
        0.020 C . 1 ack 1
        0.030 C . 1(100) ack 1
        0.031 C . 101(100) ack 1
        0.032 C . 201(100) ack 1
        0.262 C . 1(100) ack 1
        0.290 S . 1 ack 301
        1.030 C . 301(100) ack 1
        1.031 C . 401(100) ack 1
        1.032 C . 501(100) ack 1
        1.262 C . 301(100) ack 1
        1.290 S . 1 ack 401
        1.291 S . 1 ack 401
        1.310 S . 1 ack 601
        2.030 C . 601(100) ack 1
        2.031 C . 701(100) ack 1
        2.032 C . 801(100) ack 1
        2.262 C . 601(100) ack 1
        2.290 S . 1 ack 701
        2.291 C . 701(100) ack 1
        2.310 S . 1 ack 801
        2.311 S . 1 ack 901
        ",
        "
        7: retransmission, rto 232 ms, judged LostAfterTap of 4 by SeenBefore; Timeout by Waited after 232 ms, tail
        12: retransmission, rto 232 ms, judged LostAfterTap of 9 by SeenBefore; Timeout by Waited after 232 ms, tail
        14: duplicate_ack, #1
        19: retransmission, rto 232 ms, judged LostAfterTap of 16 by SeenBefore; Timeout by Waited after 232 ms, tail
        21: retransmission, rto 260 ms, judged LostAfterTap of 17 by SeenBefore; AfterTimeout by TimeoutBefore after 260 ms
        flow 0 port 40000, complete 15, syn 1, syn-ack 2, ack 3, rtt 20.0 ms
          C 15 packets, 1300 bytes, to 900, acked 900, 4 sent again (3 timeout, 1 after_timeout), 3 tail losses for 696 ms
          S 8 packets, 0 bytes, to 0, acked 0, 1 dup acks
        ",
    );
}
