//# what: counters in the names of static locals, labels and unique things
//# flags: -Wa,--keep-locals
//# flags[clang]: -Wa,-L
//# real: 0 changed function: report
#ifdef NOISE
#define ENTRY report._entry.28
#define POINTER report._entry_ptr.30
#define LABEL .Ltmp41
#define UNIQUE __UNIQUE_ID_license145
#else
#define ENTRY report._entry.26
#define POINTER report._entry_ptr.28
#define LABEL .Ltmp37
#define UNIQUE __UNIQUE_ID_license144
#endif
	.file "counters.c"
	.section .text.report, "ax", @progbits
	.globl report
	.type report, @function
report:
	call __fentry__
	mov $ENTRY, %rdi
LABEL:
	call print
	ret
	.size report, . - report
	.section .rodata.ENTRY, "a", @progbits
	.type ENTRY, @object
ENTRY:
	.quad .Lformat
#ifdef REAL
	.quad 5
#else
	.quad 4
#endif
	.size ENTRY, . - ENTRY
	.section .rodata.str1.1, "aMS", @progbits, 1
.Lformat: .string "reported\n"
	.section .printk_index, "a", @progbits
	.type POINTER, @object
POINTER:
	.quad ENTRY
	.size POINTER, 8
	.section .modinfo, "a", @progbits
	.type UNIQUE, @object
UNIQUE:
	.string "license=GPL"
	.size UNIQUE, . - UNIQUE
