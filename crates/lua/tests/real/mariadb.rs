//! A MariaDB server with one database and one user.

use super::{Process, eventually, free_port};
use std::{
    fs::{self, File},
    io::Write,
    path::Path,
    process::{Command, Stdio},
};
use tempfile::TempDir;

pub struct MariaDb {
    pub port: u16,
    /// Of the server, where it speaks TLS.
    pub certificate: Option<rustls::pki_types::CertificateDer<'static>>,
    folder: TempDir,
    process: Process,
}

impl MariaDb {
    /// Its name, which is on its certificate.
    pub const NAME: &str = "db.test";

    pub async fn start(tls: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let data = format!("--datadir={}", at("data").display());
        install(&at("data"), &at("install.log"));
        let accounts = "CREATE DATABASE billing CHARACTER SET utf8mb4;\n\
            CREATE USER robot@'127.0.0.1' IDENTIFIED BY 'päss word';\n\
            GRANT ALL ON billing.* TO robot@'127.0.0.1';\n\
            CREATE USER nobody@'127.0.0.1';\n";
        fs::write(at("init.sql"), accounts).unwrap();
        let port = free_port();
        let mut command = Command::new("mariadbd");
        command.args(["--no-defaults", "--user=root", "--bind-address=127.0.0.1", "--skip-name-resolve", &data]);
        command.arg(format!("--tmpdir={}", folder.path().display()));
        command.arg(format!("--port={port}")).arg(format!("--socket={}", at("socket").display()));
        command.arg(format!("--init-file={}", at("init.sql").display()));
        command.arg("--general-log=1").arg(format!("--general-log-file={}", at("general.log").display()));
        let mut certificate = None;
        if tls {
            let made = rcgen::generate_simple_self_signed([Self::NAME.to_owned()]).unwrap();
            fs::write(at("cert.pem"), made.cert.pem()).unwrap();
            fs::write(at("key.pem"), made.signing_key.serialize_pem()).unwrap();
            command.arg(format!("--ssl-cert={}", at("cert.pem").display()));
            command.arg(format!("--ssl-key={}", at("key.pem").display()));
            certificate = Some(made.cert.der().clone());
        }
        let log = at("log");
        let mut process = Process::start(command, &log);
        eventually(&mut process, &log, async || {
            let said = fs::read_to_string(&log).ok()?;
            said.contains("ready for connections").then_some(())
        })
        .await;
        Self { port, certificate, folder, process }
    }

    /// Where the user of the tests signs in.
    pub fn url(&self) -> String {
        format!("mysql://robot:p%C3%A4ss%20word@{}:{}/billing", Self::NAME, self.port)
    }

    /// Ends the server as a power cut would, and reads rows from its files: what is there was not told by a script.
    #[allow(dead_code, reason = "read so where the program runs the script")]
    pub fn rows(self, query: &str) -> Vec<Vec<String>> {
        let Self { folder, process, .. } = self;
        drop(process);
        let at = |name: &str| folder.path().join(name);
        let select = format!("{query} INTO OUTFILE '{}';\n", at("rows").display());
        bootstrap(&at("data"), &at("rows.log"), &[select.as_bytes()]);
        let text = fs::read_to_string(at("rows")).unwrap();
        text.lines().map(|line| line.split('\t').map(str::to_owned).collect()).collect()
    }

    /// What the server says that it was asked.
    pub fn asked(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.folder.path().join("general.log")).unwrap()).into_owned()
    }
}

/// Makes the server's own tables, as its install script does, which is in a larger package.
fn install(data: &Path, log: &Path) {
    fs::create_dir_all(data.join("mysql")).unwrap();
    let parts = ["mysql_system_tables", "mysql_system_tables_data", "mysql_performance_tables"];
    let parts = parts.map(|part| fs::read(format!("/usr/share/mysql/{part}.sql")).unwrap());
    let mut statements: Vec<&[u8]> = vec![b"USE mysql;\n"];
    statements.extend(parts.iter().map(Vec::as_slice));
    bootstrap(data, log, &statements);
}

/// Runs statements on the files of a server that does not run.
fn bootstrap(data: &Path, log: &Path, statements: &[&[u8]]) {
    let output = File::create(log).unwrap();
    let mut server = Command::new("mariadbd")
        .args(["--no-defaults", "--user=root", "--bootstrap"])
        .arg(format!("--datadir={}", data.display()))
        // A server clears the folder of temporary tables at its start, those of its neighbours too.
        .arg(format!("--tmpdir={}", data.display()))
        .stdin(Stdio::piped())
        .stdout(output.try_clone().unwrap())
        .stderr(output)
        .spawn()
        .unwrap_or_else(|e| panic!("mariadbd: {e}; `cargo xtask test` installs what is missing"));
    let mut input = server.stdin.take().unwrap();
    for statement in statements {
        input.write_all(statement).unwrap();
    }
    drop(input);
    let ended = server.wait().unwrap();
    assert!(ended.success(), "{ended}: {}", fs::read_to_string(log).unwrap());
}
