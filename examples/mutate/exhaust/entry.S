/* Code and data as hand-written assembly has them: labels, aliases, tables, padding. */

	.section .entry.text, "ax"
	.globl entry_start
	.type entry_start, @function
entry_start:
	call helper_one
	movl $1, %eax
	testl %edi, %edi
	jz .Lzero
	leaq entry_table(%rip), %rax
	movl (%rax,%rdi,4), %eax
	movzbl entry_bytes(%rip), %edx
1:	movl (%rsi), %ecx
	jmp entry_second
.Lzero:
	xorl %eax, %eax
	ret
	.size entry_start, . - entry_start

	.p2align 4, 0x90
	.globl entry_second
entry_second:
	movl $2, %eax
2:	ret
entry_inner:
	movl $3, %eax
	ret

	.p2align 4, 0xcc
	.type helper_one, @function
helper_one:
	call entry_inner
	movq $entry_text, %rdi
	jmp outside
	.size helper_one, . - helper_one
	.set helper_alias, helper_one

	.section __ex_table, "a"
	.balign 4
	.long 1b - .
	.long 2b - .
	.long 3

	.section .rodata, "a"
	.balign 4
entry_table:
	.long 10, 20, 30, 40
entry_bytes:
	.byte 7, 8
	.balign 8
entry_pointers:
	.quad helper_alias
	.quad entry_inner
	.quad entry_table + 8
	.size entry_pointers, . - entry_pointers

	.section .rodata.str1.1, "aMS", @progbits, 1
entry_text:
	.string "an entry"
	.string "never used"

	.data
	.balign 8
	.globl entry_state
	.type entry_state, @object
entry_state:
	.quad entry_pointers
	.long 5
	.size entry_state, . - entry_state
	.section .note.GNU-stack, "", @progbits
