//! A first look at a file that may be an image, by our own eyes.
//!
//! Opening a foreign file with `qemu-img` lets the file choose: a backing file or an external data file names any path
//! of the host, and guessing the format lets a raw disk's first bytes decide (CVE-2024-32498 and its elders). So the
//! header is read here first, without following anything, and `qemu-img` is then told the format.

use crate::{Error, Result};
use sha2::{Digest, Sha256};
use std::{
    fmt::Write as _,
    fs::File,
    io::{ErrorKind, Read},
    os::unix::fs::FileExt,
    path::Path,
};

/// Formats that are taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Qcow2,
    Raw,
}

impl Format {
    /// As `qemu-img` and libvirt spell it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Qcow2 => "qcow2",
            Self::Raw => "raw",
        }
    }
}

/// What the header says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) format: Format,
    pub(crate) virtual_bytes: u64,
}

/// The parts of a qcow2 header we look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Qcow2 {
    pub(crate) virtual_bytes: u64,
    pub(crate) backing_file: Option<String>,
    encrypted: bool,
    external_data: bool,
    /// First byte after the level-1 table: a whole file is not shorter.
    tables_end: u64,
}

const QCOW2_MAGIC: &[u8] = b"QFI\xfb";
/// Incompatible feature bit of an external data file (qcow2 specification).
const EXTERNAL_DATA: u64 = 1 << 2;
/// Longest name of a backing file (qcow2 specification).
const BACKING_NAME_BYTES: u32 = 1023;
/// Largest image taken in: the largest disk there can be.
const VIRTUAL_BYTES: u64 = (*sutler_model::server::DISK_GIB.end()) << 30;

/// Magic numbers of formats that are refused, with their names.
const FOREIGN: [(usize, &[u8], &str); 10] = [
    (0, b"KDMV", "VMDK"),
    (0, b"# Disk Descriptor", "VMDK"),
    (0, b"COWD", "VMDK"),
    (0, b"conectix", "VHD"),
    (0, b"vhdxfile", "VHDX"),
    (0, b"\x1f\x8b", "gzip"),
    (0, b"\xfd7zXZ\0", "xz"),
    (0, b"\x28\xb5\x2f\xfd", "zstd"),
    (0, b"QED\0", "QED"),
    (64, b"\x7f\x10\xda\xbe", "VDI"),
];

/// Magic numbers of what a raw disk begins with: a boot sector or a file system.
const RAW: [(usize, &[u8]); 6] = [
    (510, b"\x55\xaa"),
    (512, b"EFI PART"),
    (1080, b"\x53\xef"),
    (0, b"XFSB"),
    (32769, b"CD001"),
    (65600, b"_BHRfS_M"),
];

/// Reads a qcow2 header, following nothing. None when the file is not qcow2.
pub(crate) fn qcow2_header(file: &File) -> std::io::Result<Option<Qcow2>> {
    let mut header = [0; 80];
    let read = read_up_to(file, &mut header)?;
    if !header.starts_with(QCOW2_MAGIC) {
        return Ok(None);
    }
    let broken = |what| std::io::Error::new(ErrorKind::InvalidData, what);
    if read < 72 {
        return Err(broken("its qcow2 header is cut short"));
    }
    let u32_at = |at: usize| u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    let u64_at = |at: usize| u64::from(u32_at(at)) << 32 | u64::from(u32_at(at + 4));
    let version = u32_at(4);
    if !matches!(version, 2 | 3) {
        return Err(broken("its qcow2 version is not 2 or 3"));
    }
    let (name_at, name_len) = (u64_at(8), u32_at(16));
    let backing_file = if name_at == 0 {
        None
    } else if name_len > BACKING_NAME_BYTES {
        return Err(broken("the name of its backing file is too long"));
    } else {
        let mut name = vec![0; name_len as usize];
        file.read_exact_at(&mut name, name_at)?;
        Some(String::from_utf8_lossy(&name).into_owned())
    };
    Ok(Some(Qcow2 {
        virtual_bytes: u64_at(24),
        backing_file,
        encrypted: u32_at(32) != 0,
        external_data: version == 3 && u64_at(72) & EXTERNAL_DATA != 0,
        tables_end: u64_at(40).saturating_add(u64::from(u32_at(36)) * 8),
    }))
}

/// Looks at a file somebody gave us.
///
/// # Errors
/// `NotAnImage` with the way out, or the error of reading it.
pub(crate) fn probe(path: &Path) -> Result<Found> {
    let attempted = || format!("looking at image file `{}`", path.display());
    let not = |why: &str| Err(Error::NotAnImage(why.into()));
    let metadata = match std::fs::metadata(path) {
        Err(e) if e.kind() == ErrorKind::NotFound => return not("there is no such file; check its path"),
        other => other.map_err(|e| Error::from_io(attempted(), e))?,
    };
    // Before opening: a pipe would hold us up.
    if !metadata.is_file() {
        return not("it is a folder or a device; give a disk image file");
    }
    let file = File::open(path).map_err(|e| Error::from_io(attempted(), e))?;
    let length = metadata.len();
    if length == 0 {
        return not("the file is empty; upload it again");
    }
    let found = match qcow2_header(&file) {
        Err(e) if matches!(e.kind(), ErrorKind::InvalidData | ErrorKind::UnexpectedEof) => {
            return not(&format!("{e}; upload it again, or convert it with `qemu-img convert -O qcow2`"));
        }
        Err(e) => return Err(Error::from_io(attempted(), e)),
        Ok(Some(q)) if q.backing_file.is_some() => {
            return not("it has a backing file; flatten it with `qemu-img convert -O qcow2`");
        }
        Ok(Some(q)) if q.external_data => {
            return not("its data lies in another file; convert it with `qemu-img convert -O qcow2`");
        }
        Ok(Some(q)) if q.encrypted => return not("it is encrypted; decrypt it with `qemu-img convert -O qcow2`"),
        Ok(Some(q)) if q.tables_end > length => return not("the file is cut short; upload it again"),
        Ok(Some(q)) => Found { format: Format::Qcow2, virtual_bytes: q.virtual_bytes },
        Ok(None) => raw(&file, length).map_err(|e| Error::from_io(attempted(), e))??,
    };
    match found.virtual_bytes {
        0 => not("its disk has no size; export it again"),
        n if n > VIRTUAL_BYTES => not("its disk is larger than any disk may be"),
        _ => Ok(found),
    }
}

/// Looks at what is not qcow2. A raw disk has no header, so it must begin as disks begin.
fn raw(file: &File, length: u64) -> std::io::Result<Result<Found>> {
    let mut head = vec![0; 66_000];
    let read = read_up_to(file, &mut head)?;
    let head = &head[..read];
    let has = |at: usize, magic: &[u8]| head.get(at..).is_some_and(|tail| tail.starts_with(magic));
    let not = |why: String| Ok(Err(Error::NotAnImage(why)));
    if let Some((_, _, name)) = FOREIGN.iter().find(|(at, magic, _)| has(*at, magic)) {
        return not(match *name {
            "gzip" | "xz" | "zstd" => format!("it is compressed with {name}; unpack it first"),
            _ => format!("it is a {name} file; convert it with `qemu-img convert -O qcow2`"),
        });
    }
    if has(0, b"LUKS\xba\xbe") {
        return not("it is encrypted; decrypt it first".into());
    }
    if !RAW.iter().any(|(at, magic)| has(*at, magic)) {
        return not("it is neither qcow2 nor a raw disk with a boot sector or a file system; give one of these".into());
    }
    if !length.is_multiple_of(512) {
        return not("a raw disk is a whole number of 512-byte sectors; this file is cut short, upload it again".into());
    }
    Ok(Ok(Found { format: Format::Raw, virtual_bytes: length }))
}

fn read_up_to(file: &File, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut read = 0;
    while read < buffer.len() {
        match file.read_at(&mut buffer[read..], read as u64) {
            Ok(0) => break,
            Ok(n) => read += n,
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(read)
}

/// SHA-256 of a file, hex.
pub(crate) fn sha256(path: &Path) -> Result<String> {
    let io = |e| Error::from_io(format!("reading `{}`", path.display()), e);
    let mut file = File::open(path).map_err(io)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => hash.update(&buffer[..n]),
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(io(e)),
        }
    }
    Ok(hash.finalize().iter().fold(String::new(), |mut hex, byte| {
        // Writing to a string cannot fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    }))
}

/// A storage key is a plain file name, so that it can never point elsewhere.
pub(crate) fn check_storage_key(key: &str) -> Result<()> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    if key.is_empty() || key.len() > 128 || key.starts_with('.') || !key.chars().all(plain) {
        return Err(Error::permanent(
            format!("using image `{}`", key.escape_debug()),
            "an image's file name has 1 to 128 letters, digits, `.`, `-` or `_` and does not begin with `.`",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(bytes: &[u8]) -> std::result::Result<Found, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("image");
        std::fs::write(&path, bytes).unwrap();
        probe(&path).map_err(|e| e.to_string())
    }

    /// A qcow2 header of version 3 with a level-1 table of one entry behind it.
    fn header() -> Vec<u8> {
        let mut h = vec![0; 4096];
        h[..4].copy_from_slice(QCOW2_MAGIC);
        h[7] = 3;
        h[24..32].copy_from_slice(&(1u64 << 30).to_be_bytes());
        h[39] = 1;
        h[46] = 8;
        h
    }

    #[test]
    fn a_plain_qcow2_header_is_taken() {
        assert_eq!(verdict(&header()), Ok(Found { format: Format::Qcow2, virtual_bytes: 1 << 30 }));
    }

    #[test]
    fn what_reaches_outside_the_file_is_refused_with_the_fix() {
        let mut backed = header();
        (backed[14], backed[19]) = (1, 11);
        backed[256..267].copy_from_slice(b"/etc/shadow");
        assert!(verdict(&backed).unwrap_err().contains("backing file"));
        let mut external = header();
        external[79] = 4;
        assert!(verdict(&external).unwrap_err().contains("another file"));
        let mut encrypted = header();
        encrypted[35] = 2;
        assert!(verdict(&encrypted).unwrap_err().contains("encrypted"));
    }

    #[test]
    fn what_is_cut_short_or_of_no_size_is_refused() {
        assert!(verdict(&header()[..1024]).unwrap_err().contains("cut short"));
        assert!(verdict(&header()[..40]).unwrap_err().contains("cut short"));
        let mut none = header();
        none[24..32].fill(0);
        assert!(verdict(&none).unwrap_err().contains("no size"));
        let mut huge = header();
        huge[24..32].fill(0xff);
        assert!(verdict(&huge).unwrap_err().contains("larger"));
    }

    #[test]
    fn what_is_no_disk_is_refused_with_the_fix() {
        assert!(verdict(b"").unwrap_err().contains("empty"));
        assert!(verdict(b"To whom it may concern\n").unwrap_err().contains("neither qcow2"));
        assert!(verdict(b"KDMV\0\0").unwrap_err().contains("VMDK"));
        assert!(verdict(b"\x1f\x8b\x08").unwrap_err().contains("unpack"));
        assert!(probe(Path::new("/")).unwrap_err().to_string().contains("folder"));
        assert!(probe(Path::new("/nowhere")).unwrap_err().to_string().contains("no such file"));
    }

    #[test]
    fn a_raw_disk_begins_as_disks_begin() {
        let mut disk = vec![0; 1024];
        disk[510..512].copy_from_slice(b"\x55\xaa");
        assert_eq!(verdict(&disk), Ok(Found { format: Format::Raw, virtual_bytes: 1024 }));
        assert!(verdict(&disk[..1000]).unwrap_err().contains("cut short"));
        disk[510] = 0;
        assert!(verdict(&disk).unwrap_err().contains("neither qcow2"));
    }

    #[test]
    fn a_storage_key_never_leaves_its_folder() {
        for bad in ["", ".", "..", "../x", "a/b", ".hidden", "a b", "ä", "a\0"] {
            assert!(check_storage_key(bad).is_err(), "{bad:?}");
        }
        assert!(check_storage_key("debian-12_1.qcow2").is_ok());
    }
}
