//# what: Propeller's map of basic blocks, linked to the code it describes
//# compilers: clang-14 clang-16 clang-19 clang-22
//# rule: bb-addr-map .llvm_bb_addr_map
//# real: 0 changed function: caller
	.section .text.caller, "ax", @progbits
	.globl caller
	.type caller, @function
caller:
	call __fentry__
#ifdef REAL
	nop
	inc %eax
#endif
	ret
	.size caller, . - caller
	.section .llvm_bb_addr_map, "o", @llvm_bb_addr_map, .text.caller
	.byte 2, 0
	.quad caller
#ifdef NOISE
	.byte 2, 0, 0, 5, 0, 1, 0, 2
#else
	.byte 1, 0, 0, 6, 0
#endif
