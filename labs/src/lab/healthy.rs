//! Control: nothing is wrong, and nothing may alarm.

use crate::Lab;

pub(super) const LAB: Lab = Lab {
    name: "healthy",
    about: "nothing is wrong",
    causes: &[],
    build: |net| {
        net.docker()?;
        net.start_nginx()
    },
    fault: |_| Ok(()),
    load: |net| Ok(net.syn_probes(80, 5)? + &net.get("", "3")? + &net.get("big", "3")?),
};
