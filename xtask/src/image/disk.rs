//! Partitions and boot loader of a disk in a file, without loop devices.
//!
//! ```text
//! sector 0     GRUB's boot.img (440 bytes) and the protective partition table
//! 2048..4096   partition 1, BIOS boot: GRUB's core.img
//! 4096..end    partition 2, root: ext4; last, so that it can grow
//! ```

use crate::shell;
use anyhow::{Context, Result, bail};
use std::{
    fs::{self, File, OpenOptions},
    io::{Seek, SeekFrom, Write},
    path::Path,
    process::{Command, Stdio},
};

const SECTOR: u64 = 512;
const CORE_START: u64 = 2048;
const CORE_SECTORS: u64 = 2048;
const ROOT_START: u64 = CORE_START + CORE_SECTORS;
/// Where the root file system begins, bytes.
pub const ROOT_OFFSET: u64 = ROOT_START * SECTOR;
/// Kept for the second copy of the partition table at the end, rounded up for alignment.
const END_BYTES: u64 = 1 << 20;
/// Types of the partitions, as GPT has them.
const BIOS_BOOT: &str = "21686148-6449-6E6F-744E-656564454649";
const LINUX_ROOT_X86_64: &str = "4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709";

/// Debian's folder of GRUB for BIOS.
const GRUB: &str = "/usr/lib/grub/i386-pc";
/// The part of boot.img in front of the table of partitions.
const BOOT_CODE: usize = 440;
/// In boot.img: the first sector of core.img, 64 bits.
const BOOT_KERNEL_SECTOR: usize = 0x5c;
/// In core.img's first sector, which loads the others: where they begin (64 bits) and how many they are (16 bits).
const CORE_BLOCK_LIST: usize = 0x1f4;

/// Size of the root file system, bytes.
pub fn root_bytes(size_gib: u64) -> u64 {
    (size_gib << 30) - ROOT_OFFSET - END_BYTES
}

/// Makes the file, sparse, with its partitions.
pub fn partition(raw: &Path, size_gib: u64) -> Result<()> {
    File::create(raw)?.set_len(size_gib << 30)?;
    let table = format!(
        "label: gpt\nstart={CORE_START}, size={CORE_SECTORS}, type={BIOS_BOOT}\nstart={ROOT_START}, size={}, type={LINUX_ROOT_X86_64}\n",
        root_bytes(size_gib) / SECTOR
    );
    // Debian keeps it where a user's PATH does not look.
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    let mut sfdisk = Command::new("sfdisk").arg("--quiet").arg(raw).env("PATH", path).stdin(Stdio::piped()).spawn()?;
    sfdisk.stdin.take().context("sfdisk takes no input")?.write_all(table.as_bytes())?;
    let status = sfdisk.wait()?;
    if !status.success() {
        bail!("sfdisk failed: {status}");
    }
    Ok(())
}

/// Does what `grub-install` does, to a file: core.img goes into its partition, boot.img in front, each told where the next
/// piece is.
pub fn install_grub(raw: &Path, modules: &[String], scratch: &Path) -> Result<()> {
    let image = scratch.join("core.img");
    shell::run(
        Command::new("grub-mkimage")
            .args(["--format=i386-pc", "--prefix=(hd0,gpt2)/boot/grub", "--directory", GRUB, "--output"])
            .arg(&image)
            .args(modules),
    )?;
    let boot = fs::read(Path::new(GRUB).join("boot.img")).context("reading GRUB's boot.img")?;
    let (boot, core) = link(boot, fs::read(&image)?)?;
    let mut disk = OpenOptions::new().write(true).open(raw)?;
    disk.write_all(&boot)?;
    disk.seek(SeekFrom::Start(CORE_START * SECTOR))?;
    disk.write_all(&core)?;
    Ok(())
}

/// Fills in the addresses; returns what belongs in sector 0 and in the BIOS boot partition.
fn link(mut boot: Vec<u8>, mut core: Vec<u8>) -> Result<(Vec<u8>, Vec<u8>)> {
    core.resize(core.len().next_multiple_of(SECTOR as usize), 0);
    let sectors = core.len() as u64 / SECTOR;
    if boot.len() != SECTOR as usize || sectors < 2 {
        bail!("GRUB's boot.img has {} bytes and its core.img {sectors} sectors; neither can be", boot.len());
    }
    if sectors > CORE_SECTORS {
        bail!("GRUB's core.img has {sectors} sectors and its partition {CORE_SECTORS}: load fewer modules");
    }
    boot[BOOT_KERNEL_SECTOR..][..8].copy_from_slice(&CORE_START.to_le_bytes());
    boot.truncate(BOOT_CODE);
    core[CORE_BLOCK_LIST..][..8].copy_from_slice(&(CORE_START + 1).to_le_bytes());
    core[CORE_BLOCK_LIST + 8..][..2].copy_from_slice(&u16::try_from(sectors - 1)?.to_le_bytes());
    Ok((boot, core))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boot_code_is_told_where_the_core_is_and_the_core_where_its_rest_is() {
        let (boot, core) = link(vec![0xaa; 512], vec![0xbb; 512 * 3 + 1]).expect("it fits");
        assert_eq!(boot.len(), 440);
        assert_eq!(boot[0x5c..0x64], 2048_u64.to_le_bytes());
        assert_eq!(core.len(), 512 * 4);
        assert_eq!(core[0x1f4..0x1fc], 2049_u64.to_le_bytes());
        assert_eq!(core[0x1fc..0x1fe], 3_u16.to_le_bytes());
        assert_eq!(core[512 * 3 + 1..], [0; 511]);
    }

    #[test]
    fn a_core_larger_than_its_partition_is_refused() {
        let error = link(vec![0; 512], vec![0; 512 * 2049]).expect_err("it cannot fit");
        assert!(error.to_string().contains("2049 sectors"), "{error}");
    }

    #[test]
    fn the_root_file_system_ends_before_the_second_partition_table() {
        assert_eq!(ROOT_OFFSET + root_bytes(2) + END_BYTES, 2 << 30);
    }
}
