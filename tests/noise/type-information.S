//# what: BTF, which describes types to programs
//# rule: btf .BTF
//# real: 0 changed function: caller
	.section .text.caller, "ax", @progbits
	.globl caller
	.type caller, @function
caller:
	call __fentry__
#ifdef REAL
	inc %eax
#endif
	ret
	.size caller, . - caller
	.section .BTF, "", @progbits
#ifdef NOISE
	.byte 0x9f, 0xeb, 1, 0, 24, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8
	.section .BTF.ext, "", @progbits
	.byte 0x9f, 0xeb, 1, 0, 24, 0, 0, 0
#else
	.byte 0x9f, 0xeb, 1, 0, 24, 0, 0, 0
#endif
