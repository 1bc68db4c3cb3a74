//# what: weights of calls, whose relocations are SHT_REL
//# compilers: clang-14 clang-16 clang-19 clang-22
//# rule: llvm-metadata .llvm.call-graph-profile
//# needs: .rel.llvm.call-graph-profile
//# real: 0 changed function: caller
	.section .text.caller, "ax", @progbits
	.globl caller
	.type caller, @function
caller:
	call __fentry__
	call callee
#ifdef REAL
	call callee
#endif
	ret
	.size caller, . - caller
#ifdef NOISE
	.cg_profile caller, callee, 9000
	.cg_profile callee, caller, 12
#else
	.cg_profile caller, callee, 70
#endif
