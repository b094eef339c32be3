//! A Prosody XMPP server with two accounts.

use super::{Process, eventually, free_port};
use std::{fs, os::unix::fs::PermissionsExt, path::Path, process::Command};
use tempfile::TempDir;

pub struct Prosody {
    pub port: u16,
    pub certificate: rustls::pki_types::CertificateDer<'static>,
    folder: TempDir,
    process: Process,
}

impl Prosody {
    /// Its domain, which is on its certificate.
    pub const NAME: &str = "chat.test";

    /// `extra`: lines more for its settings.
    pub async fn start(extra: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let made = rcgen::generate_simple_self_signed([Self::NAME.to_owned()]).unwrap();
        fs::write(at("cert.pem"), made.cert.pem()).unwrap();
        fs::write(at("key.pem"), made.signing_key.serialize_pem()).unwrap();
        let accounts = at("data/chat%2etest/accounts");
        fs::create_dir_all(&accounts).unwrap();
        for (name, password) in [("robot", "päss word"), ("ada", "other")] {
            fs::write(accounts.join(format!("{name}.dat")), format!("return {{ [\"password\"] = \"{password}\" }};"))
                .unwrap();
        }
        let port = free_port();
        let folder_name = folder.path().display();
        let settings = format!(
            "daemonize = false\npidfile = \"{folder_name}/pid\"\ndata_path = \"{folder_name}/data\"\n\
            modules_enabled = {{ \"saslauth\", \"tls\", \"offline\", \"ping\" }}\nmodules_disabled = {{ \"s2s\" }}\n\
            authentication = \"internal_plain\"\nc2s_require_encryption = true\n\
            interfaces = {{ \"127.0.0.1\" }}\nc2s_ports = {{ {port} }}\nc2s_direct_tls_ports = {{}}\ns2s_ports = {{}}\n\
            log = {{ info = \"*console\" }}\n{extra}\n\
            VirtualHost \"{}\"\nssl = {{ certificate = \"{folder_name}/cert.pem\", key = \"{folder_name}/key.pem\" }}\n",
            Self::NAME
        );
        fs::write(at("prosody.cfg.lua"), settings).unwrap();
        // It refuses to run as root.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let owned = Command::new("chown").args(["-R", "prosody:prosody"]).arg(folder.path()).status().unwrap();
        assert!(owned.success(), "the package prosody makes a user of that name");
        let mut command = Command::new("setpriv");
        command.args(["--reuid=prosody", "--regid=prosody", "--clear-groups", "prosody", "-F", "--config"]);
        command.arg(at("prosody.cfg.lua")).current_dir(folder.path());
        // Apart from the folder that now belongs to the server.
        let log = log_of(folder.path());
        let mut process = Process::start(command, &log);
        eventually(&mut process, &log, async || tokio::net::TcpStream::connect(("127.0.0.1", port)).await.ok()).await;
        Self { port, certificate: made.cert.der().clone(), folder, process }
    }

    /// Where the account of the tests signs in.
    pub fn url(&self) -> String {
        format!("xmpp://robot:p%C3%A4ss%20word@{}:{}", Self::NAME, self.port)
    }

    /// What waits for Ada to sign in, once it is there.
    pub async fn waiting(&mut self) -> String {
        let file = self.folder.path().join("data/chat%2etest/offline/ada.list");
        eventually(&mut self.process, &log_of(self.folder.path()), async || fs::read_to_string(&file).ok()).await
    }
}

fn log_of(folder: &Path) -> std::path::PathBuf {
    folder.join("log")
}
