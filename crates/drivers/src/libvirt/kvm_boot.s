# The guest of the self-test: a boot sector that does what a kernel does first. It turns on paging and long mode, sets up
# its interrupt table, sleeps through sixteen ticks of the timer, works for a while, says that it lives and ends QEMU
# through its exit device. A hypervisor that cannot run kernels hangs or crawls somewhere on the way.
#
# The firmware loads it at 0x7c00. Below it lie, from 0x1000: three levels of page tables, the interrupt table at 0x4000,
# and the word it works on at 0x6000.

.pushsection .rodata.sutler_kvm_boot, "a", @progbits
.globl sutler_kvm_boot
sutler_kvm_boot:

.code16
    cli
    xorw %ax, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %ss
    movw $0x7c00, %sp
    cld
    movw $0x1000, %di
    movw $0x2000, %cx
    rep stosw
    movw $0x2003, 0x1000
    movw $0x3003, 0x2000
    movw $0x0083, 0x3000                # the first 2 MiB as they are
    movw $(.Ltick - sutler_kvm_boot + 0x7c00), 0x4200
    movw $0x0008, 0x4202
    movw $0x8e00, 0x4204                # the gate of interrupt 0x20
    movw $(.Lports - sutler_kvm_boot + 0x7c00), %si
1:  lodsb
    movzbw %al, %dx
    lodsb
    outb %al, %dx
    cmpw $(.Lports_end - sutler_kvm_boot + 0x7c00), %si
    jb 1b
    lgdt .Lgdt_place - sutler_kvm_boot + 0x7c00
    movl $0x20, %eax                    # PAE
    movl %eax, %cr4
    movl $0x1000, %eax
    movl %eax, %cr3
    movl $0xc0000080, %ecx              # EFER
    rdmsr
    orl $0x100, %eax                    # long mode
    wrmsr
    movl %cr0, %eax
    orl $0x80000001, %eax               # paging, protection
    movl %eax, %cr0
    ljmp $0x8, $(.Llong - sutler_kvm_boot + 0x7c00)

.code64
.Llong:
    movw $0x10, %ax
    movw %ax, %ds
    movw %ax, %ss
    movl $0x7c00, %esp
    lidt .Lidt_place - sutler_kvm_boot + 0x7c00
    xorl %ebx, %ebx
    sti
2:  hlt
    cmpl $16, %ebx
    jb 2b
    cli
    movl $(1 << 26), %ecx
3:  addl %ecx, 0x6000
    decl %ecx
    jnz 3b
    movl $(.Lalive - sutler_kvm_boot + 0x7c00), %esi
    movw $0x3f8, %dx
4:  lodsb
    testb %al, %al
    jz 5f
    outb %al, %dx
    jmp 4b
5:  movb $16, %al
    outb %al, $0xf4
6:  hlt
    jmp 6b

.Ltick:
    incl %ebx
    movb $0x20, %al
    outb %al, $0x20
    iretq

# Pairs of port and value: the interrupt controllers at 0x20 and 0x28 with nothing but the timer let through, and the timer
# at a thousand ticks a second.
.Lports:
    .byte 0x20, 0x11, 0xa0, 0x11, 0x21, 0x20, 0xa1, 0x28, 0x21, 0x04, 0xa1, 0x02, 0x21, 0x01, 0xa1, 0x01
    .byte 0x21, 0xfe, 0xa1, 0xff, 0x43, 0x34, 0x40, 0xa9, 0x40, 0x04
.Lports_end:
.Lgdt:
    .quad 0, 0x00209a0000000000, 0x0000920000000000
.Lgdt_place:
    .word 23
    .long .Lgdt - sutler_kvm_boot + 0x7c00
.Lidt_place:
    .word 0x20f
    .quad 0x4000
.Lalive:
    .asciz "SUTLER-KVM-OK"

.org sutler_kvm_boot + 510
    .byte 0x55, 0xaa
.popsection
