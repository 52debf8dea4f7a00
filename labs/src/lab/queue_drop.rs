//! A token bucket filter on the host's way out to the client has too short a queue and drops.

use crate::Lab;

pub(super) const LAB: Lab = Lab {
    name: "queue-drop",
    about: "a 2 Mbit/s token bucket filter with an 8 kB queue on the host drops what exceeds it",
    causes: &["queue_drop"],
    build: |net| {
        net.docker()?;
        net.start_nginx()
    },
    fault: |net| {
        let words = "qdisc add dev ens0 root tbf rate 2mbit burst 5kb limit 8kb";
        net.between.run("tc", &words.split(' ').collect::<Vec<_>>()).map(drop)
    },
    load: |net| net.get("big", "6"),
};
