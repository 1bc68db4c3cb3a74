//# what: numbers of specialised copies, and of Propeller's parts; cold parts without a type
//# real: 0 changed function: work
#ifdef NOISE
#define COPY work.specialized.3
#define PART work.__part.2
#else
#define COPY work.specialized.1
#define PART work.__part.1
#endif
	.file "specialized.c"
	.section .text.work, "ax", @progbits
	.globl work
	.type work, @function
work:
	call __fentry__
	test %edi, %edi
	js work.cold
	je PART
	jmp COPY
	.size work, . - work
	.section .text.split.work, "ax", @progbits
work.cold:
	mov $1, %eax
#ifdef REAL
	inc %eax
#endif
	ret
	.size work.cold, . - work.cold
	.section .text.PART, "ax", @progbits
PART:
	mov $2, %eax
	ret
	.size PART, . - PART
	.section .text.COPY, "ax", @progbits
	.type COPY, @function
COPY:
	call __fentry__
	mov $3, %eax
	ret
	.size COPY, . - COPY
