/* SPDX-License-Identifier: MIT
 *
 * The switch of stacks on aarch64 (AAPCS64 6.1: x19 to x29, the stack, and d8 to d15 belong to the
 * caller).
 *
 *   context_swap(void **save, void *load)
 *
 * A frame is 160 bytes: x19-x28, x29 (frame pointer), x30 (where to go on), d8-d15.
 */
#if defined(__aarch64__) && !defined(RUNTIME_UCONTEXT)
    .text
    .globl context_swap
    .hidden context_swap
    .type context_swap, %function
    .p2align 4
context_swap:
    sub sp, sp, #160
    stp x19, x20, [sp, #0]
    stp x21, x22, [sp, #16]
    stp x23, x24, [sp, #32]
    stp x25, x26, [sp, #48]
    stp x27, x28, [sp, #64]
    stp x29, x30, [sp, #80]
    stp d8, d9, [sp, #96]
    stp d10, d11, [sp, #112]
    stp d12, d13, [sp, #128]
    stp d14, d15, [sp, #144]
    mov x9, sp
    str x9, [x0]
    mov sp, x1
    ldp x19, x20, [sp, #0]
    ldp x21, x22, [sp, #16]
    ldp x23, x24, [sp, #32]
    ldp x25, x26, [sp, #48]
    ldp x27, x28, [sp, #64]
    ldp x29, x9, [sp, #80]
    ldp d8, d9, [sp, #96]
    ldp d10, d11, [sp, #112]
    ldp d12, d13, [sp, #128]
    ldp d14, d15, [sp, #144]
    add sp, sp, #160
    mov x30, x9
    br x9
    .size context_swap, .-context_swap

/* Where a new stack begins: x19 holds the function, x20 its argument. */
    .globl context_begin
    .hidden context_begin
    .type context_begin, %function
    .p2align 4
context_begin:
    mov x0, x20
    mov x29, #0
    mov x30, #0
    blr x19
    brk #1
    .size context_begin, .-context_begin
#endif
    .section .note.GNU-stack, "", %progbits
