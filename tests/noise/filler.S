//# what: what fills the space between functions of a section
//# real: 0 changed function: first
	.text
	.globl first
	.type first, @function
first:
	call __fentry__
	mov $5, %eax
#ifdef REAL
	inc %eax
#endif
	ret
	.size first, . - first
#ifdef NOISE
	.nops 9
	.p2align 5, 0xcc
#else
	.p2align 5, 0x90
#endif
	.globl second
	.type second, @function
second:
	call __fentry__
	jmp first
	.size second, . - second
