//# what: a static function is exported while another file imports its users
//# real: 0 changed function: scale
	.file "flips.c"
#if defined(NOISE)
#define SCALE scale.llvm.11476112684051380918
#define EXPORT .globl SCALE ; .hidden SCALE
#else
#define SCALE scale
#define EXPORT
#endif
	.section .text.SCALE, "ax", @progbits
	EXPORT
	.type SCALE, @function
SCALE:
	call __fentry__
	lea (%rdi, %rdi, 2), %eax
#ifdef REAL
	inc %eax
#endif
	ret
	.size SCALE, . - SCALE
	.section .text.api, "ax", @progbits
	.globl api
	.type api, @function
api:
	call __fentry__
	call SCALE@PLT
	add $7, %eax
	ret
	.size api, . - api
