//# what: the functions in a set for BPF are named after a counter and a line
//# real: 2 .BTF_ids changed
	.section .text.caller, "ax", @progbits
	.globl caller
	.type caller, @function
caller:
	call __fentry__
	mov $allowed, %rdi
	jmp lookup
	.size caller, . - caller
#ifdef NOISE
#define FIRST __BTF_ID__func__open__5621741
#define SECOND __BTF_ID__func__close__5631742
#else
#define FIRST __BTF_ID__func__open__5581701
#define SECOND __BTF_ID__func__close__5591702
#endif
#ifdef REAL
#undef SECOND
#define SECOND __BTF_ID__func__write__5591702
#endif
	.section .BTF_ids, "a", @progbits
	.globl allowed
allowed:
	.zero 4
	.local FIRST
	.type FIRST, @object
	.size FIRST, 4
FIRST:	.zero 4
	.local SECOND
	.type SECOND, @object
	.size SECOND, 4
SECOND:	.zero 4
