//! Statements on MariaDB and MySQL, by hand: the usual client connects and does TLS by itself, past the policy. Every
//! statement is prepared, so parameters are never part of its text.

mod auth;
mod packet;
mod value;

use super::{Line, credentials, decoded};
use packet::{Channel, Reader, Writer, malformed};
use reqwest::Url;
pub(crate) use value::Cell;

/// What a server's URL may begin with.
pub(crate) const SCHEMES: [&str; 2] = ["mysql", "mysqls"];
/// Most rows of one answer.
const ROWS: usize = 10_000;
/// Most columns of one answer: what the servers themselves allow.
const COLUMNS: u64 = 4_096;
/// `utf8mb4`, in its general order.
const UTF8MB4: u8 = 45;

mod capability {
    pub const LONG_PASSWORD: u32 = 1;
    pub const WITH_DATABASE: u32 = 1 << 3;
    pub const PROTOCOL_41: u32 = 1 << 9;
    pub const TLS: u32 = 1 << 11;
    pub const TRANSACTIONS: u32 = 1 << 13;
    pub const SECURE: u32 = 1 << 15;
    pub const PLUGINS: u32 = 1 << 19;
}

/// A statement and what stands for its question marks.
pub(crate) struct Statement {
    pub sql: String,
    /// As many as given; missing ones are NULL.
    pub params: Vec<Cell>,
}

impl Statement {
    /// What it sends, roughly.
    pub fn bytes(&self) -> usize {
        self.sql.len() + self.params.iter().map(Cell::bytes).sum::<usize>()
    }
}

/// What a statement did.
#[derive(Default)]
pub(crate) struct Answer {
    pub columns: Vec<String>,
    pub rows: Vec<Vec<Cell>>,
    pub affected: u64,
    pub last_insert_id: u64,
}

/// Runs statements in their order; several together take effect together or not at all.
///
/// # Errors
/// In words, the server's own where it gave some.
pub(crate) async fn run(line: &Line, server: &Url, statements: &[Statement]) -> Result<Vec<Answer>, String> {
    let mut session = Session::open(line, server).await?;
    let together = statements.len() > 1;
    if together {
        session.command("START TRANSACTION").await?;
    }
    let mut answers = Vec::with_capacity(statements.len());
    for (number, statement) in statements.iter().enumerate() {
        let answer = session.execute(statement).await;
        answers.push(answer.map_err(|e| if together { format!("statement {}: {e}", number + 1) } else { e })?);
    }
    if together {
        session.command("COMMIT").await?;
    }
    // It is done; how we take leave matters no more.
    const QUIT: u8 = 1;
    let _ = session.channel.ask(&[QUIT]).await;
    Ok(answers)
}

struct Session {
    channel: Channel,
}

impl Session {
    async fn open(line: &Line, server: &Url) -> Result<Self, String> {
        let mut channel = Channel::new(line.connect().await?);
        let greeting = channel.receive().await.map_err(|e| format!("greeting the server: {e}"))?;
        let mut reader = Reader(&greeting);
        let version = reader.u8().ok_or_else(malformed)?;
        if version != 10 {
            return Err(format!("the server speaks version {version} of the protocol, not 10"));
        }
        let offer = auth::Offer::read(&mut reader).ok_or_else(malformed)?;
        let (user, password) = credentials(server).unwrap_or_default();
        let database = decoded(server.path().trim_start_matches('/'));
        use capability::{LONG_PASSWORD, PLUGINS, PROTOCOL_41, SECURE, TLS, TRANSACTIONS, WITH_DATABASE};
        if offer.capabilities & (PROTOCOL_41 | SECURE | PLUGINS) != PROTOCOL_41 | SECURE | PLUGINS {
            return Err("the server is too old".to_owned());
        }
        let mut flags = LONG_PASSWORD | PROTOCOL_41 | TRANSACTIONS | SECURE | PLUGINS;
        if !database.is_empty() {
            flags |= WITH_DATABASE;
        }
        let tls = offer.capabilities & TLS != 0;
        if server.scheme() == "mysqls" && !tls {
            return Err("the server offers no TLS".to_owned());
        }
        let hello = |flags: u32| {
            let mut writer = Writer::default();
            writer.u32(flags).u32(packet::SIZE_MAX as u32).u8(UTF8MB4).bytes(&[0; 23]);
            writer
        };
        if tls {
            flags |= TLS;
            channel.send(&hello(flags).0).await?;
            channel.stream = line.secure(channel.stream).await?;
        }
        let proof = auth::proof(&offer.plugin, &password, &offer.nonce).unwrap_or_default();
        let mut writer = hello(flags);
        writer.text(&user).u8(u8::try_from(proof.len()).unwrap_or(0)).bytes(&proof);
        if !database.is_empty() {
            writer.text(&database);
        }
        writer.text(&offer.plugin);
        channel.send(&writer.0).await?;
        auth::finish(&mut channel, offer, &password, tls).await.map_err(|e| format!("signing in: {e}"))?;
        Ok(Self { channel })
    }

    /// A statement without parameters and rows.
    async fn command(&mut self, sql: &str) -> Result<(), String> {
        const QUERY: u8 = 3;
        self.channel.ask(&[&[QUERY], sql.as_bytes()].concat()).await?;
        self.channel.receive().await.map(drop)
    }

    async fn execute(&mut self, statement: &Statement) -> Result<Answer, String> {
        const PREPARE: u8 = 0x16;
        const EXECUTE: u8 = 0x17;
        self.channel.ask(&[&[PREPARE], statement.sql.as_bytes()].concat()).await?;
        let prepared = self.channel.receive().await?;
        let mut reader = Reader(&prepared[1..]);
        let (id, columns) = reader.u32().zip(reader.u16()).ok_or_else(malformed)?;
        let params = usize::from(reader.u16().ok_or_else(malformed)?);
        for count in [params, usize::from(columns)] {
            self.skip(count).await?;
        }
        if statement.params.len() > params {
            let given = statement.params.len();
            return Err(format!("{given} parameters are given, and the statement has {params} question marks"));
        }
        let mut writer = Writer::default();
        writer.u8(EXECUTE).u32(id).u8(0).u32(1);
        value::write(&mut writer, &statement.params, params);
        if writer.0.len() > packet::SIZE_MAX {
            return Err(format!("the parameters take more than {} bytes", packet::SIZE_MAX));
        }
        self.channel.ask(&writer.0).await?;
        let first = self.channel.receive().await?;
        let mut reader = Reader(&first);
        let count = reader.length().ok_or_else(malformed)?;
        if count == 0 {
            let (affected, last_insert_id) = reader.length().zip(reader.length()).ok_or_else(malformed)?;
            return Ok(Answer { affected, last_insert_id, ..Answer::default() });
        }
        if count > COLUMNS {
            return Err(malformed());
        }
        self.rows(count).await
    }

    async fn rows(&mut self, count: u64) -> Result<Answer, String> {
        let mut columns = Vec::new();
        for _ in 0..count {
            let definition = self.channel.receive().await?;
            columns.push(value::Column::read(&mut Reader(&definition)).ok_or_else(malformed)?);
        }
        self.channel.receive().await?;
        let mut rows = Vec::new();
        loop {
            let row = self.channel.receive().await?;
            if packet::is_end(&row) {
                let columns = columns.into_iter().map(|column| column.name).collect();
                return Ok(Answer { columns, rows, ..Answer::default() });
            }
            if rows.len() == ROWS {
                return Err(format!("the answer has more than {ROWS} rows; add a LIMIT"));
            }
            rows.push(value::row(&row, &columns).ok_or_else(malformed)?);
        }
    }

    /// Passes over definitions and what ends them.
    async fn skip(&mut self, count: usize) -> Result<(), String> {
        for _ in 0..if count == 0 { 0 } else { count + 1 } {
            self.channel.receive().await?;
        }
        Ok(())
    }
}
