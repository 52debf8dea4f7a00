//! Nothing listens on port 81: the host answers with RST.

use crate::Lab;

pub(super) const LAB: Lab = Lab {
    name: "refused",
    about: "nothing listens on port 81, so the host answers with RST",
    causes: &["refused"],
    build: |net| {
        net.docker()?;
        net.start_nginx()
    },
    fault: |_| Ok(()),
    load: |net| {
        let url = format!("http://{}:81/", net.server_address);
        Ok(net.client.try_run("curl", &["-sS", "--max-time", "3", &url])? + &net.syn_probes(81, 3)?)
    },
};
