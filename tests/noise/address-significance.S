//# what: the list of symbols whose address means something
//# compilers: clang-14 clang-16 clang-19 clang-22
//# rule: addrsig .llvm_addrsig
//# real: 0 changed function: caller
	.section .text.caller, "ax", @progbits
	.globl caller
	.type caller, @function
caller:
	call __fentry__
#ifdef REAL
	mov $callee, %rdi
#else
	mov $caller, %rdi
#endif
	jmp callee
	.size caller, . - caller
	.addrsig
#ifdef NOISE
	.addrsig_sym callee
#else
	.addrsig_sym caller
#endif
