//# what: the hash of the path in the names of static functions (-funique-internal-linkage-names)
//# real: 0 changed function: helper
#ifdef NOISE
#define HELPER helper.__uniq.278853042007261606123607823841216918622
#define COUNT count.__uniq.278853042007261606123607823841216918622
#else
#define HELPER helper.__uniq.177429887559989452100159484110240662549
#define COUNT count.__uniq.177429887559989452100159484110240662549
#endif
	.file "unique.c"
	.section .text.HELPER, "ax", @progbits
	.type HELPER, @function
HELPER:
	call __fentry__
	mov COUNT, %eax
#ifdef REAL
	inc %eax
#endif
	ret
	.size HELPER, . - HELPER
	.section .text.caller, "ax", @progbits
	.globl caller
	.type caller, @function
caller:
	call __fentry__
	call HELPER
	incl COUNT
	ret
	.size caller, . - caller
	.section .bss.COUNT, "aw", @nobits
	.type COUNT, @object
COUNT:	.zero 4
	.size COUNT, 4
