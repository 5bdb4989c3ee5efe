// SPDX-License-Identifier: Apache-2.0
/*
 * The crossings of the guard `none`: a change of stack, FS base and control words of floating point.
 *
 * What a crossing keeps is on the stack of the side that is left, in the order of a function that saves the registers it
 * must keep; so that going on there is the rest of that function. 20 instructions lead into the application and 26 out.
 *
 * Everything from rb_none_crossing_begin to _end runs with some of the state of each side. A signal that comes here must
 * not take the thread for being on either.
 */
#include "guard/defs.h"

#define SYS_arch_prctl 158
#define ARCH_SET_FS    0x1002
#define ARCH_GET_FS    0x1003
#define ARCH_GET_GS    0x1004

.macro SAVE_KEPT
	push %rbx
	push %rbp
	push %r12
	push %r13
	push %r14
	push %r15
.endm

.macro RESTORE_KEPT
	pop %r15
	pop %r14
	pop %r13
	pop %r12
	pop %rbp
	pop %rbx
.endm

/* rsi: the new FS base. The slow one clobbers rax, rcx, rdi and r11. */
.macro SET_FS slow
.if \slow
	mov $ARCH_SET_FS, %edi
	mov $SYS_arch_prctl, %eax
	syscall
.else
	wrfsbase %rsi
.endif
.endm

/* Into rax. The slow one clobbers rcx, rdi, rsi and r11, and uses 8 bytes of the stack. */
.macro GET_BASE slow, instruction, code
.if \slow
	push $0
	mov $\code, %edi
	mov %rsp, %rsi
	mov $SYS_arch_prctl, %eax
	syscall
	pop %rax
.else
	\instruction %rax
.endif
.endm

.macro FUNCTION name
	.globl \name
	.type \name, @function
	.balign 64
\name:
	.cfi_startproc
.endm

.macro END_FUNCTION name
	.cfi_endproc
	.size \name, . - \name
.endm

/* const struct rb_guard_call *enter(rdi: thread, rsi: result) */
.macro ENTER name, slow
FUNCTION \name
	SAVE_KEPT
	mov %rsp, NONE_DATA_RSP(%rdi)
.if \slow
	mov %rdi, %rbx
	mov %rsi, %rbp
	mov NONE_APP_FS(%rdi), %rsi
	SET_FS 1
	mov %rbx, %rdi
	mov %rbp, %rax
.else
	mov %rsi, %rax
	mov NONE_APP_FS(%rdi), %rsi
	SET_FS 0
.endif
	ldmxcsr NONE_APP_MXCSR(%rdi)
	fldcw NONE_APP_FCW(%rdi)
	mov NONE_APP_RSP(%rdi), %rsp
	RESTORE_KEPT
	ret
END_FUNCTION \name
.endm

/* int64_t gate(rdi: call, rsi: a, rdx: b, rcx: c): on the application's stack */
.macro GATE name, slow
FUNCTION \name
	SAVE_KEPT
	mov %gs:NONE_SELF, %rax
	stmxcsr NONE_APP_MXCSR(%rax)
	fnstcw NONE_APP_FCW(%rax)
	mov %rsp, NONE_APP_RSP(%rax)
	mov %rdi, NONE_CALL_NUMBER(%rax)
	mov %rsi, NONE_CALL_A(%rax)
	mov %rdx, NONE_CALL_B(%rax)
	mov %rcx, NONE_CALL_C(%rax)
	mov NONE_DATA_FS(%rax), %rsi
	SET_FS \slow
.if \slow
	mov %gs:NONE_SELF, %rax
.endif
	ldmxcsr NONE_DATA_MXCSR(%rax)
	fldcw NONE_DATA_FCW(%rax)
	mov NONE_DATA_RSP(%rax), %rsp
	RESTORE_KEPT
	ret
END_FUNCTION \name
.endm

/* Where enter() "returns" to in an application that has ended. */
.macro ENDED name, slow
FUNCTION \name
	mov %gs:NONE_SELF, %rax
	mov NONE_DATA_FS(%rax), %rsi
	SET_FS \slow
	mov %gs:NONE_SELF, %rdi
	jmp rb_none_leave
END_FUNCTION \name
.endm

/* void signal(edi: signo, rsi: info, rdx: context) */
.macro SIGNAL name, slow
FUNCTION \name
	push %rbx
	.cfi_adjust_cfa_offset 8
	push %r12
	.cfi_adjust_cfa_offset 8
	push %r13
	.cfi_adjust_cfa_offset 8
	push %r14
	.cfi_adjust_cfa_offset 8
	push %r15
	.cfi_adjust_cfa_offset 8
	mov %edi, %r12d
	mov %rsi, %r13
	mov %rdx, %r14
	GET_BASE \slow, rdfsbase, ARCH_GET_FS
	mov %rax, %rbx
	GET_BASE \slow, rdgsbase, ARCH_GET_GS
	mov %rax, %r15
	test %rax, %rax
	jz 1f
	mov NONE_DATA_FS(%rax), %rsi
	SET_FS \slow
1:	mov %r12d, %edi
	mov %r13, %rsi
	mov %r14, %rdx
	mov %r15, %rcx
	mov %rbx, %r8
	call rb_none_handle
	mov %rax, %rsi
	SET_FS \slow
	pop %r15
	.cfi_adjust_cfa_offset -8
	pop %r14
	.cfi_adjust_cfa_offset -8
	pop %r13
	.cfi_adjust_cfa_offset -8
	pop %r12
	.cfi_adjust_cfa_offset -8
	pop %rbx
	.cfi_adjust_cfa_offset -8
	ret
END_FUNCTION \name
.endm

	.text
	.globl rb_none_crossing_begin
	.balign 64
rb_none_crossing_begin:

ENTER rb_none_enter, 0
GATE rb_none_gate, 0
ENDED rb_none_ended, 0
ENTER rb_none_enter_slow, 1
GATE rb_none_gate_slow, 1
ENDED rb_none_ended_slow, 1

/* void leave(rdi: thread): FS is the dataplane's already */
FUNCTION rb_none_leave
	ldmxcsr NONE_DATA_MXCSR(%rdi)
	fldcw NONE_DATA_FCW(%rdi)
	mov NONE_DATA_RSP(%rdi), %rsp
	xor %eax, %eax
	RESTORE_KEPT
	ret
END_FUNCTION rb_none_leave

/* Where enter() "returns" to at the start. The order of the registers is struct rb_guard_registers's. */
FUNCTION rb_none_begin
	mov %gs:NONE_SELF, %rax
	add $NONE_REGISTERS, %rax
	pushq 17*8(%rax)
	popfq
	mov 1*8(%rax), %rbx
	mov 2*8(%rax), %rcx
	mov 3*8(%rax), %rdx
	mov 4*8(%rax), %rsi
	mov 5*8(%rax), %rdi
	mov 6*8(%rax), %rbp
	mov 7*8(%rax), %rsp
	mov 8*8(%rax), %r8
	mov 9*8(%rax), %r9
	mov 10*8(%rax), %r10
	mov 11*8(%rax), %r11
	mov 12*8(%rax), %r12
	mov 13*8(%rax), %r13
	mov 14*8(%rax), %r14
	mov 15*8(%rax), %r15
	mov 0*8(%rax), %rax
	jmp *%gs:NONE_REGISTERS + 16*8
END_FUNCTION rb_none_begin

	.globl rb_none_crossing_end
rb_none_crossing_end:

SIGNAL rb_none_signal, 0
SIGNAL rb_none_signal_slow, 1

	.section .note.GNU-stack, "", @progbits
