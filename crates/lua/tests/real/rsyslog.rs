//! An rsyslog server that writes what it understood.

use super::{Process, eventually, free_port};
use std::{fs, process::Command};
use tempfile::TempDir;

pub struct Rsyslog {
    pub udp: u16,
    pub tcp: u16,
    folder: TempDir,
    process: Process,
}

impl Rsyslog {
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let udp = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let tcp = free_port();
        let settings = format!(
            "module(load=\"imudp\")\ninput(type=\"imudp\" address=\"127.0.0.1\" port=\"{udp}\")\n\
            module(load=\"imtcp\")\ninput(type=\"imtcp\" address=\"127.0.0.1\" port=\"{tcp}\")\n\
            template(name=\"all\" type=\"string\" string=\"%pri%|%timereported:::date-rfc3339%|%hostname%|%app-name%|\
            %procid%|%msgid%|%structured-data%|%msg%\\n\")\n\
            action(type=\"omfile\" file=\"{}\" template=\"all\")\n",
            at("out").display()
        );
        fs::write(at("rsyslog.conf"), settings).unwrap();
        let mut command = Command::new("rsyslogd");
        command.arg("-n").arg("-f").arg(at("rsyslog.conf")).arg("-i").arg(at("pid"));
        let log = at("log");
        let mut process = Process::start(command, &log);
        eventually(&mut process, &log, async || tokio::net::TcpStream::connect(("127.0.0.1", tcp)).await.ok()).await;
        Self { udp, tcp, folder, process }
    }

    /// The lines that came of our programs, once there are as many.
    pub async fn lines(&mut self, count: usize) -> Vec<String> {
        let (out, log) = (self.folder.path().join("out"), self.folder.path().join("log"));
        eventually(&mut self.process, &log, async || {
            let text = fs::read_to_string(&out).ok()?;
            // The server also writes that it started.
            let lines: Vec<String> =
                text.lines().filter(|line| !line.contains("|rsyslogd|")).map(str::to_owned).collect();
            (lines.len() >= count).then_some(lines)
        })
        .await
    }
}
