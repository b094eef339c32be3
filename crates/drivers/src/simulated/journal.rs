//! The file that a world outlives its process in: one JSON line for each change, appended before the call is answered.
//!
//! The write is not synced: it survives a kill of the process, which is what real guests survive too.

use super::world::Change;
use crate::{Error, Result};
use std::{
    fs::File,
    io::{BufRead, BufReader, Read, Seek, SeekFrom, Write},
    path::Path,
};

/// An open journal.
pub(super) struct Journal {
    file: File,
    line: Vec<u8>,
}

impl Journal {
    /// Opens the file and hands every change in it to `apply`. A torn last line is cut off.
    pub(super) fn open(path: &Path, mut apply: impl FnMut(Change)) -> Result<Self> {
        let attempted = || format!("opening the simulated world `{}`", path.display());
        let io = |e| Error::from_io(attempted(), e);
        let mut file = File::options().read(true).write(true).create(true).truncate(false).open(path).map_err(io)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(std::fs::TryLockError::WouldBlock) => {
                return Err(Error::permanent(attempted(), "another process has it open; stop that one first"));
            }
            Err(std::fs::TryLockError::Error(e)) => return Err(io(e)),
        }
        let (mut whole, mut number) = (0, 0);
        let mut reader = BufReader::new(&file);
        let mut line = Vec::new();
        loop {
            line.clear();
            // Changes are short; what is longer is not one of ours.
            reader.by_ref().take(1 << 20).read_until(b'\n', &mut line).map_err(io)?;
            if line.last() != Some(&b'\n') {
                break;
            }
            number += 1;
            let change = serde_json::from_slice(&line)
                .map_err(|e| Error::permanent(attempted(), format!("line {number} is not a change: {e}")))?;
            apply(change);
            whole += line.len() as u64;
        }
        file.set_len(whole).map_err(io)?;
        file.seek(SeekFrom::Start(whole)).map_err(io)?;
        Ok(Self { file, line })
    }

    /// Begins anew with these changes, when a long history says little.
    pub(super) fn rewrite(&mut self, path: &Path, changes: impl Iterator<Item = Change>) -> Result<()> {
        let io = |e| Error::from_io(format!("compacting the simulated world `{}`", path.display()), e);
        let tmp = path.with_extension("tmp");
        let mut out = std::io::BufWriter::new(File::create(&tmp).map_err(io)?);
        for change in changes {
            serde_json::to_writer(&mut out, &change).map_err(|e| io(e.into()))?;
            out.write_all(b"\n").map_err(io)?;
        }
        let file = out.into_inner().map_err(|e| io(e.into_error()))?;
        file.try_lock().map_err(|e| io(e.into()))?;
        std::fs::rename(&tmp, path).map_err(io)?;
        self.file = file;
        Ok(())
    }

    /// Appends one change.
    pub(super) fn append(&mut self, change: &Change) -> Result<()> {
        let io = |e| Error::from_io("keeping the simulated world".into(), e);
        self.line.clear();
        serde_json::to_writer(&mut self.line, change).map_err(|e| io(e.into()))?;
        self.line.push(b'\n');
        self.file.write_all(&self.line).map_err(io)
    }
}
