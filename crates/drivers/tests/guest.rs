//! A guest of one boot sector: says that it is there, gives back what is typed, and switches itself off at a `Q`.

use std::{io::Write, path::Path};

/// What it says first.
pub const READY: &[u8] = b"SUTLER-GUEST-READY\r\n";

/// Writes a raw disk that boots it.
pub fn write_image(path: &Path) {
    #[rustfmt::skip]
    let code: [u8; 52] = [
        0x31, 0xc0,             //     xor ax, ax
        0x8e, 0xd8,             //     mov ds, ax
        0xfc, 0xfb,             //     cld; sti
        0xbe, 0x34, 0x7c,       //     mov si, 0x7c34
        0xba, 0xf8, 0x03,       //     mov dx, 0x3f8
        0xac,                   // 1:  lodsb
        0x84, 0xc0,             //     test al, al
        0x74, 0x03,             //     jz 2f
        0xee,                   //     out dx, al
        0xeb, 0xf8,             //     jmp 1b
        0xba, 0xfd, 0x03,       // 2:  mov dx, 0x3fd
        0xec,                   // 3:  in al, dx
        0xa8, 0x01,             //     test al, 1
        0x75, 0x03,             //     jnz 4f
        0xf4,                   //     hlt (until the timer ticks)
        0xeb, 0xf8,             //     jmp 3b
        0xba, 0xf8, 0x03,       // 4:  mov dx, 0x3f8
        0xec,                   //     in al, dx
        0x3c, b'Q',             //     cmp al, 'Q'
        0x74, 0x03,             //     je 5f
        0xee,                   //     out dx, al
        0xeb, 0xea,             //     jmp 2b
        0xba, 0x04, 0x06,       // 5:  mov dx, 0x604 (ACPI power control of q35)
        0xb8, 0x00, 0x20,       //     mov ax, 0x2000
        0xef,                   //     out dx, ax
        0xf4,                   //     hlt
        0xeb, 0xfd,             //     jmp -1
    ];
    let mut sector = [0; 512];
    sector[..code.len()].copy_from_slice(&code);
    sector[code.len()..code.len() + READY.len()].copy_from_slice(READY);
    sector[510..].copy_from_slice(&[0x55, 0xaa]);
    std::fs::File::create(path).unwrap().write_all(&sector).unwrap();
}
