//! Files of feed blocks that the follower writes and a rebuild reads.
//!
//! `magic | store id 16 | frames`, a frame being `crc32c of the rest u32 | length u32 | first sequence u64 | block`.

use crate::{Error, error::Attempt, feed};
use std::{
    fs::{File, OpenOptions},
    io::{BufReader, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};
use uuid::Uuid;

const MAGIC: &[u8; 16] = b"sutler feed v1\n\0";
const HEADER: u64 = 32;
const FRAME: usize = 16;
/// No block is longer: redb's values end there. Guards against asking for the memory a damaged length names.
const BLOCK_MAX: u32 = 1 << 30;

/// A segment's file name; names sort as their positions do.
pub(crate) fn name(first: u64) -> String {
    format!("feed-{first:020}.seg")
}

/// The segments of a folder, oldest first, each with the position it begins at.
pub(crate) fn list(folder: &Path) -> Result<Vec<(u64, PathBuf)>, Error> {
    numbered(folder, "feed-", ".seg")
}

/// Files of a folder named `prefix`, number, `suffix`, in order of their numbers.
pub(crate) fn numbered(folder: &Path, prefix: &str, suffix: &str) -> Result<Vec<(u64, PathBuf)>, Error> {
    let attempted = format!("listing the folder `{}`", folder.display());
    let mut out = Vec::new();
    for entry in std::fs::read_dir(folder).attempt(&attempted)? {
        let path = entry.attempt(&attempted)?.path();
        let number =
            path.file_name().and_then(|n| n.to_str()).and_then(|n| n.strip_prefix(prefix)?.strip_suffix(suffix));
        out.extend(number.and_then(|n| n.parse().ok()).map(|n| (n, path.clone())));
    }
    out.sort();
    Ok(out)
}

/// A segment being written.
pub(crate) struct Segment {
    file: File,
    path: PathBuf,
    len: u64,
}

impl Segment {
    /// Begins a segment.
    pub(crate) fn create(folder: &Path, first: u64, store: Uuid) -> Result<Self, Error> {
        let path = folder.join(name(first));
        let attempted = format!("beginning `{}`", path.display());
        // What lies under this name never got a whole frame, or it would be gone on with.
        let mut file = File::create(&path).attempt(&attempted)?;
        file.write_all(MAGIC).and_then(|()| file.write_all(store.as_bytes())).attempt(&attempted)?;
        file.sync_all().attempt(&attempted)?;
        crate::marker::sync_dir(&path)?;
        Ok(Self { file, path, len: HEADER })
    }

    /// Goes on with a segment after its last whole frame; what a crash left behind that is cut off.
    pub(crate) fn resume(path: &Path, whole: u64) -> Result<Self, Error> {
        let attempted = format!("going on with `{}`", path.display());
        let mut file = OpenOptions::new().write(true).open(path).attempt(&attempted)?;
        file.set_len(whole).and_then(|()| file.seek(SeekFrom::End(0))).attempt(&attempted)?;
        file.sync_all().attempt(&attempted)?;
        Ok(Self { file, path: path.to_owned(), len: whole })
    }

    /// Appends blocks durably.
    pub(crate) fn append(&mut self, blocks: &[(u64, Vec<u8>)]) -> Result<(), Error> {
        let mut bytes = Vec::new();
        for (first, block) in blocks {
            let at = bytes.len();
            bytes.extend_from_slice(&[0; 4]);
            bytes.extend_from_slice(&(block.len() as u32).to_le_bytes());
            bytes.extend_from_slice(&first.to_le_bytes());
            bytes.extend_from_slice(block);
            let sum = crc32c::crc32c(&bytes[at + 4..]);
            bytes[at..at + 4].copy_from_slice(&sum.to_le_bytes());
        }
        let attempted = format!("appending to `{}`", self.path.display());
        self.file.write_all(&bytes).and_then(|()| self.file.sync_data()).attempt(&attempted)?;
        self.len += bytes.len() as u64;
        Ok(())
    }

    /// Bytes so far.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }
}

/// Reads a segment frame by frame.
pub(crate) struct SegmentReader {
    file: BufReader<File>,
    path: PathBuf,
    /// Bytes of the header and the whole frames read so far.
    whole: u64,
}

impl SegmentReader {
    /// None when not even the header is whole.
    pub(crate) fn open(path: &Path, store: Uuid) -> Result<Option<Self>, Error> {
        let attempted = format!("reading `{}`", path.display());
        let mut file = BufReader::new(File::open(path).attempt(&attempted)?);
        let mut header = [0; HEADER as usize];
        if !fill(&mut file, &mut header).attempt(&attempted)? {
            return Ok(None);
        }
        let foreign = |detail: &str| Error::Foreign { path: path.to_owned(), detail: detail.to_owned() };
        if header[..16] != *MAGIC {
            return Err(foreign("it is not a copy of a feed"));
        }
        if header[16..] != *store.as_bytes() {
            return Err(foreign("it belongs to another store"));
        }
        Ok(Some(Self { file, path: path.to_owned(), whole: HEADER }))
    }

    /// The next block with its first position. None at the end, or where the rest is torn.
    pub(crate) fn next(&mut self) -> Result<Option<(u64, Vec<u8>)>, Error> {
        let attempted = format!("reading `{}`", self.path.display());
        let mut frame = [0; FRAME];
        if !fill(&mut self.file, &mut frame).attempt(&attempted)? {
            return Ok(None);
        }
        let (head, first) = frame.split_at(8);
        let first = u64::from_le_bytes(first.try_into().unwrap_or_default());
        let (sum, length) = head.split_at(4);
        let number = |b: &[u8]| u32::from_le_bytes(b.try_into().unwrap_or_default());
        let (sum, length) = (number(sum), number(length));
        if length > BLOCK_MAX {
            return Ok(None);
        }
        let mut block = Vec::new();
        let read = self.file.by_ref().take(length.into()).read_to_end(&mut block).attempt(&attempted)?;
        let seen = crc32c::crc32c_append(crc32c::crc32c(&frame[4..]), &block);
        if read != length as usize || seen != sum || !feed::is_whole(&block) {
            return Ok(None);
        }
        self.whole += (FRAME + read) as u64;
        Ok(Some((first, block)))
    }

    /// Where the next frame belongs.
    pub(crate) fn whole(&self) -> u64 {
        self.whole
    }
}

/// Whether `out` could be filled; false at the end of the file.
fn fill(file: &mut impl Read, out: &mut [u8]) -> std::io::Result<bool> {
    match file.read_exact(out) {
        Err(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => Ok(false),
        other => other.map(|()| true),
    }
}
