//! Redis Streams with fsync for each write, and a consumer whose handler is a Lua script.

use super::Load;
use anyhow::{Context, Result, bail, ensure};
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// An event: five fields and filling, 336 bytes of names and values.
const FIELDS: [&str; 5] = ["name", "id", "customer", "seller", "cpu"];
const FILLING: usize = 336 - 36 * 5 - 27 - 4;
/// Reads five fields, records the run, acknowledges.
const HANDLER: &str = "for i = 1, #ARGV do \
    local e = redis.call('XRANGE', 'events', ARGV[i], ARGV[i])[1] \
    local f = e[2] \
    local text = f[2] .. f[4] .. f[6] .. f[8] .. f[10] \
    redis.call('HSET', 'run:' .. ARGV[i], 'state', text ~= '' and 'SUCCESS' or 'CONTINUE', 'bytes', #text) \
    redis.call('XACK', 'events', 'triggers', ARGV[i]) end return #ARGV";
/// Events that the consumer takes at once.
const TAKES: usize = 100;

struct Server(Child, u16);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(folder: &Path) -> Result<Server> {
    let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let child = Command::new("redis-server")
        .args(["--bind", "127.0.0.1", "--appendonly", "yes", "--appendfsync", "always", "--save", ""])
        .args(["--port", &port.to_string(), "--dir"])
        .arg(folder)
        .stdout(Stdio::null())
        .spawn()
        .context("starting redis-server (Debian package redis-server)")?;
    let server = Server(child, port);
    let begun = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        ensure!(begun.elapsed() < Duration::from_secs(30), "redis-server does not answer");
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(server)
}

/// A connection that speaks the Redis protocol: arrays of bulk strings out, any reply in.
struct Connection {
    out: TcpStream,
    answers: BufReader<TcpStream>,
    waiting: Vec<u8>,
}

#[derive(Debug)]
enum Reply {
    Nothing,
    Number(i64),
    Text(String),
    Several(Vec<Reply>),
}

impl Connection {
    fn open(port: u16) -> Result<Self> {
        let out = TcpStream::connect(("127.0.0.1", port))?;
        out.set_nodelay(true)?;
        Ok(Self { answers: BufReader::new(out.try_clone()?), out, waiting: Vec::new() })
    }

    fn queue(&mut self, words: &[&str]) -> Result<()> {
        write!(self.waiting, "*{}\r\n", words.len())?;
        for word in words {
            write!(self.waiting, "${}\r\n{word}\r\n", word.len())?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        self.out.write_all(&self.waiting)?;
        self.waiting.clear();
        Ok(())
    }

    fn ask(&mut self, words: &[&str]) -> Result<Reply> {
        self.queue(words)?;
        self.flush()?;
        self.answer()
    }

    fn answer(&mut self) -> Result<Reply> {
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        let (kind, rest) = line.trim_end().split_at_checked(1).context("an answer")?;
        Ok(match kind {
            "+" => Reply::Text(rest.to_owned()),
            ":" => Reply::Number(rest.parse()?),
            "$" | "*" if rest == "-1" => Reply::Nothing,
            "$" => {
                let mut text = vec![0; rest.parse::<usize>()? + 2];
                self.answers.read_exact(&mut text)?;
                text.truncate(text.len() - 2);
                Reply::Text(String::from_utf8(text)?)
            }
            "*" => Reply::Several((0..rest.parse()?).map(|_| self.answer()).collect::<Result<_>>()?),
            _ => bail!("redis says {line}"),
        })
    }
}

pub fn events_per_s(load: Load) -> Result<f64> {
    let folder = tempfile::tempdir()?;
    let server = start(folder.path())?;
    let mut consumer = Connection::open(server.1)?;
    consumer.ask(&["XGROUP", "CREATE", "events", "triggers", "$", "MKSTREAM"])?;
    let Reply::Text(handler) = consumer.ask(&["SCRIPT", "LOAD", HANDLER])? else { bail!("no script") };
    let begun = Instant::now();
    std::thread::scope(|scope| {
        let producers: Vec<_> = (0..load.producers).map(|_| scope.spawn(|| produce(server.1, load))).collect();
        let mut done = 0;
        while done < load.events {
            let ids = taken(&mut consumer)?;
            let mut words = vec!["EVALSHA", handler.as_str(), "0"];
            words.extend(ids.iter().map(String::as_str));
            if ids.is_empty() {
                continue;
            }
            match consumer.ask(&words)? {
                Reply::Number(n) => done += usize::try_from(n)?,
                other => bail!("the handler answered {other:?}"),
            }
        }
        for producer in producers {
            producer.join().map_err(|_| anyhow::anyhow!("a producer panicked"))??;
        }
        Ok(())
    })?;
    Ok(load.events as f64 / begun.elapsed().as_secs_f64())
}

/// The ids of the next events.
fn taken(consumer: &mut Connection) -> Result<Vec<String>> {
    let count = TAKES.to_string();
    let words = ["XREADGROUP", "GROUP", "triggers", "one", "COUNT", &count, "BLOCK", "1000", "STREAMS", "events", ">"];
    let Reply::Several(streams) = consumer.ask(&words)? else { return Ok(Vec::new()) };
    let Some(Reply::Several(stream)) = streams.into_iter().next() else { bail!("no stream") };
    let Some(Reply::Several(entries)) = stream.into_iter().nth(1) else { bail!("no entries") };
    entries
        .into_iter()
        .map(|entry| match entry {
            Reply::Several(parts) => match parts.into_iter().next() {
                Some(Reply::Text(id)) => Ok(id),
                other => bail!("an entry without an id: {other:?}"),
            },
            other => bail!("not an entry: {other:?}"),
        })
        .collect()
}

fn produce(port: u16, load: Load) -> Result<()> {
    let mut connection = Connection::open(port)?;
    let value = "x".repeat(36);
    let filling = "x".repeat(FILLING);
    let mut words = vec!["XADD", "events", "*"];
    for field in FIELDS {
        words.extend([field, &value]);
    }
    words.extend(["rest", &filling]);
    for _ in 0..load.events / load.producers / load.batch {
        for _ in 0..load.batch {
            connection.queue(&words)?;
        }
        connection.flush()?;
        for _ in 0..load.batch {
            connection.answer()?;
        }
    }
    Ok(())
}
