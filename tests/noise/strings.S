//# what: a string that nobody needs shifts all others of the pool
//# rule: by-reference .rodata.str1.1
//# real: 0 changed function: greet
	.section .text.greet, "ax", @progbits
	.globl greet
	.type greet, @function
greet:
	call __fentry__
	mov $.rodata.str1.1 + (.Lhello - .Lpool), %rdi
	call print
	mov $.Lbye, %rdi
	jmp print
	.size greet, . - greet
	.section .rodata.str1.1, "aMS", @progbits, 1
.Lpool:
#ifdef NOISE
	.string "elsewhere"
.Lbye:	.string "bye"
#endif
#ifdef REAL
.Lhello: .string "hullo"
#else
.Lhello: .string "hello"
#endif
#ifndef NOISE
.Lbye:	.string "bye"
#endif
