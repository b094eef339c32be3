//! A minimal ISO 9660 writer: a handful of files in the root folder, their names by Rock Ridge (Linux, BSD) and Joliet
//! (Windows).
//!
//! Written here rather than by `xorriso` or `genisoimage`: a seed is made for every server, a process would cost ten
//! times what the image does, and neither tool is installed on a node. `ECMA-119`, `RRIP` and the Joliet
//! specification are the sources.

const SECTOR: usize = 2048;
/// 1 January 2020, 00:00:00 UTC: a fixed time, so that the same files give the same bytes.
const RECORD_TIME: [u8; 7] = [120, 1, 1, 0, 0, 0, 0];
const VOLUME_TIME: &[u8; 17] = b"2020010100000000\0";
const NO_TIME: &[u8; 17] = b"0000000000000000\0";

/// Sectors of the fixed parts, in order.
const PRIMARY: usize = 16;
const TERMINATOR: usize = 18;
const PATH_TABLES: usize = 19;
const ROOTS: usize = 23;
const FILES: usize = 25;

/// The names of one of the two trees.
#[derive(Clone, Copy, PartialEq)]
enum Tree {
    RockRidge,
    Joliet,
}

impl Tree {
    fn text(self, text: &str) -> Vec<u8> {
        match self {
            Self::RockRidge => text.as_bytes().to_vec(),
            Self::Joliet => text.encode_utf16().flat_map(u16::to_be_bytes).collect(),
        }
    }

    /// Fills a field with text and spaces.
    fn field(self, text: &str, width: usize) -> Vec<u8> {
        let mut field = self.text(text);
        let space = self.text(" ");
        while field.len() < width {
            field.extend(&space);
        }
        field.truncate(width);
        field
    }

    fn root(self) -> u32 {
        (ROOTS + usize::from(self == Self::Joliet)) as u32
    }

    fn path_table(self) -> u32 {
        (PATH_TABLES + 2 * usize::from(self == Self::Joliet)) as u32
    }
}

/// An image of these files. Names are plain ASCII of at most 64 characters; `label` is of upper-case letters.
pub(super) fn image(label: &str, files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut at = FILES;
    let mut placed: Vec<(&str, u32, u32)> = vec![];
    for (name, bytes) in files {
        placed.push((name, at as u32, bytes.len() as u32));
        at += bytes.len().div_ceil(SECTOR);
    }
    // The standard wants a folder sorted by name.
    placed.sort_unstable();

    let mut out = vec![0; at * SECTOR];
    let mut put = |sector: usize, bytes: &[u8]| out[sector * SECTOR..][..bytes.len()].copy_from_slice(bytes);
    for (i, tree) in [Tree::RockRidge, Tree::Joliet].into_iter().enumerate() {
        put(PRIMARY + i, &volume(tree, label, at as u32));
        for (big_endian, sector) in [(false, tree.path_table()), (true, tree.path_table() + 1)] {
            put(sector as usize, &path_table(tree.root(), big_endian));
        }
        put(tree.root() as usize, &folder(tree, &placed));
    }
    put(TERMINATOR, b"\xffCD001\x01");
    for (name, bytes) in files {
        if let Some((_, sector, _)) = placed.iter().find(|(n, ..)| n == name) {
            put(*sector as usize, bytes);
        }
    }
    out
}

fn both_u16(n: u16) -> [u8; 4] {
    let (le, be) = (n.to_le_bytes(), n.to_be_bytes());
    [le[0], le[1], be[0], be[1]]
}

fn both_u32(n: u32) -> [u8; 8] {
    let (le, be) = (n.to_le_bytes(), n.to_be_bytes());
    [le[0], le[1], le[2], le[3], be[0], be[1], be[2], be[3]]
}

/// ECMA-119 8.4 and 8.5: primary or supplementary volume descriptor.
fn volume(tree: Tree, label: &str, sectors: u32) -> Vec<u8> {
    let mut v = vec![];
    v.push(if tree == Tree::Joliet { 2 } else { 1 });
    v.extend(b"CD001\x01\0");
    v.extend(tree.field("", 32));
    v.extend(tree.field(label, 32));
    v.extend([0; 8]);
    v.extend(both_u32(sectors));
    // Joliet, UCS-2 level 3.
    let escapes: &[u8] = if tree == Tree::Joliet { b"%/E" } else { b"" };
    v.extend(escapes);
    v.resize(120, 0);
    v.extend(both_u16(1));
    v.extend(both_u16(1));
    v.extend(both_u16(SECTOR as u16));
    v.extend(both_u32(path_table(0, false).len() as u32));
    v.extend(tree.path_table().to_le_bytes());
    v.extend([0; 4]);
    v.extend((tree.path_table() + 1).to_be_bytes());
    v.extend([0; 4]);
    v.extend(record(&[0], tree.root(), SECTOR as u32, true, &[]));
    for width in [128, 128, 128, 128, 37, 37, 37] {
        v.extend(tree.field("", width));
    }
    v.extend(VOLUME_TIME);
    v.extend(VOLUME_TIME);
    v.extend(NO_TIME);
    v.extend(NO_TIME);
    v.extend([1, 0]);
    v.resize(SECTOR, 0);
    v
}

/// ECMA-119 9.4: the root alone.
fn path_table(root: u32, big_endian: bool) -> Vec<u8> {
    let (root, one) = match big_endian {
        true => (root.to_be_bytes(), 1u16.to_be_bytes()),
        false => (root.to_le_bytes(), 1u16.to_le_bytes()),
    };
    let mut t = vec![1, 0];
    t.extend(root);
    t.extend(one);
    t.extend([0, 0]);
    t
}

/// The root folder: itself, its parent (itself), the files. One sector holds about a dozen.
fn folder(tree: Tree, files: &[(&str, u32, u32)]) -> Vec<u8> {
    let rock_ridge = |entries: Vec<u8>| if tree == Tree::RockRidge { entries } else { vec![] };
    let mode = |mode: u32, links: u32| {
        // PX: mode, links, owner, group.
        let mut px = b"PX\x24\x01".to_vec();
        for n in [mode, links, 0, 0] {
            px.extend(both_u32(n));
        }
        px
    };
    let folder_mode = mode(0o040_555, 2);
    // SP and ER say in the first record that Rock Ridge is spoken.
    let mut first = b"SP\x07\x01\xbe\xef\0".to_vec();
    first.extend(&folder_mode);
    first.extend(b"ER\x12\x01\x0a\0\0\x01RRIP_1991A");
    let mut out = record(&[0], tree.root(), SECTOR as u32, true, &rock_ridge(first));
    out.extend(record(&[1], tree.root(), SECTOR as u32, true, &rock_ridge(folder_mode)));
    for (i, (name, sector, length)) in files.iter().enumerate() {
        let mut entries = mode(0o100_444, 1);
        entries.extend([b'N', b'M', name.len() as u8 + 5, 1, 0]);
        entries.extend(name.as_bytes());
        // In the plain tree names are of eight letters; Rock Ridge gives the real one.
        let plain = format!("FILE{i}.;1");
        let name = if tree == Tree::Joliet { tree.text(name) } else { plain.into_bytes() };
        out.extend(record(&name, *sector, *length, false, &rock_ridge(entries)));
    }
    debug_assert!(out.len() <= SECTOR, "the root folder has one sector");
    out
}

/// ECMA-119 9.1: a directory record.
fn record(name: &[u8], sector: u32, length: u32, folder: bool, system_use: &[u8]) -> Vec<u8> {
    let mut r = vec![0, 0];
    r.extend(both_u32(sector));
    r.extend(both_u32(length));
    r.extend(RECORD_TIME);
    r.extend([if folder { 2 } else { 0 }, 0, 0]);
    r.extend(both_u16(1));
    r.push(name.len() as u8);
    r.extend(name);
    // Every part begins at an even byte.
    r.resize(r.len().next_multiple_of(2), 0);
    r.extend(system_use);
    r.resize(r.len().next_multiple_of(2), 0);
    r[0] = r.len() as u8;
    r
}
