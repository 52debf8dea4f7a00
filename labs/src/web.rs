//! nginx inside a namespace, with everything it writes in a folder of its own.

use crate::namespace::Namespace;
use anyhow::{Context, Result, bail};
use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

/// A running nginx; stopped when dropped.
pub(crate) struct Nginx {
    master: Child,
    _folder: tempfile::TempDir,
}

impl Nginx {
    /// Starts it in the foreground and waits until it accepts connections. Serves `/` (small), `/big` (200 kB) and `/huge` (64 MB).
    pub(crate) fn start(namespace: &Namespace) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("dropscope-lab").tempdir().context("making a folder for nginx")?;
        let path = folder.path();
        let www = path.join("www");
        fs::create_dir(&www)?;
        fs::write(www.join("index.html"), "<h1>ok</h1>\n")?;
        fs::write(www.join("big"), vec![b'x'; 200_000])?;
        fs::File::create(www.join("huge"))?.set_len(64 << 20)?;
        // Workers run as an unprivileged user and must be able to read.
        fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
        let configuration = path.join("nginx.conf");
        fs::write(&configuration, self::configuration(path))?;
        let master = namespace
            .command("nginx")
            .arg("-p")
            .arg(path)
            .arg("-c")
            .arg(&configuration)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("starting nginx: is nginx-light installed?")?;
        let mut nginx = Self { master, _folder: folder };
        nginx.wait_until_it_listens(namespace)?;
        Ok(nginx)
    }

    fn wait_until_it_listens(&mut self, namespace: &Namespace) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            if namespace.enter(|| Ok(TcpStream::connect(("127.0.0.1", 80))?)).is_ok() {
                return Ok(());
            }
            if let Some(status) = self.master.try_wait()? {
                bail!("nginx ended at once ({status}); try `nginx -t` on this machine");
            }
            if Instant::now() > deadline {
                bail!("nginx did not listen on port 80 within 20 s");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let pid = nix::unistd::Pid::from_raw(self.master.id() as i32);
        // SIGTERM lets the master end its workers. What still lives in the namespace after that, the reaper ends.
        let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM);
        let _ = self.master.wait();
    }
}

fn configuration(folder: &Path) -> String {
    let folder = folder.display();
    format!(
        "daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log;
events {{ worker_connections 512; }}
http {{
    access_log off;
    client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2; fastcgi_temp_path {folder}/t3;
    uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;
    server {{ listen 80; root {folder}/www; }}
}}
"
    )
}
