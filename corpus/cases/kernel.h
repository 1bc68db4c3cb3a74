/*
 * What the cases need of a kernel: attributes, a few callees, and the inline
 * assembly that puts rows into the table sections. The rows have the layout of
 * Linux 6.12 on x86_64, on other machines too; the code around them is ours.
 */
#ifndef CASES_KERNEL_H
#define CASES_KERNEL_H

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long u64;

#define noinline __attribute__((noinline))
#define always_inline inline __attribute__((always_inline))
#define keep __attribute__((used))
#define cold __attribute__((cold))
#if defined(__aarch64__) || defined(__loongarch64)
#define untraced __attribute__((patchable_function_entry(0, 0)))
#else
#define untraced __attribute__((no_instrument_function))
#endif
#define in_section(name) __attribute__((section(name)))
#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

int _printk(const char *format, ...);
void __warn_printk(const char *format, ...);
void __might_sleep(const char *file, int line);
void *allocate(u64 size);
void release(void *memory);
u32 read_register(u32 index);
void write_register(u32 index, u32 value);
void wait_for(u32 index);

/* The instructions that the macros below consist of. */
#if defined(__x86_64__)
#define TRAP_INSTRUCTION "ud2"
#define NOP_INSTRUCTION ".byte 0x0f, 0x1f, 0x44, 0x00, 0x00"
#define LOAD_U32 "movl %1, %0"
#define STORE_U32 "movl %1, %0"
#define ADD_5 "addl $5, %0"
#elif defined(__aarch64__)
#define TRAP_INSTRUCTION "brk #0x800"
#define NOP_INSTRUCTION "nop"
#define LOAD_U32 "ldr %w0, %1"
#define STORE_U32 "str %w1, %0"
#define ADD_5 "add %w0, %w0, #5"
#elif defined(__powerpc64__)
#define TRAP_INSTRUCTION "twi 31, 0, 0"
#define NOP_INSTRUCTION "nop"
#define LOAD_U32 "lwz%X1 %0, %1"
#define STORE_U32 "stw%X0 %1, %0"
#define ADD_5 "addi %0, %0, 5"
#elif defined(__s390x__)
#define TRAP_INSTRUCTION "mc 0, 0"
#define NOP_INSTRUCTION "brcl 0, 0"
#define LOAD_U32 "l %0, %1"
#define STORE_U32 "st %1, %0"
#define ADD_5 "ahi %0, 5"
#elif defined(__loongarch64)
#define TRAP_INSTRUCTION "break 1"
#define NOP_INSTRUCTION "nop"
#define LOAD_U32 "ld.w %0, %1"
#define STORE_U32 "st.w %1, %0"
#define ADD_5 "addi.w %0, %0, 5"
#endif

/* __bug_table: address, file, line, flags: 12 bytes. */
#define TRAP_ROW(file, line, flags)                                                                \
	asm volatile("1: " TRAP_INSTRUCTION "\n"                                                   \
		     ".pushsection __bug_table, \"aw\"\n"                                          \
		     ".long 1b - .\n"                                                              \
		     ".long %c0 - .\n"                                                             \
		     ".short %c1\n"                                                                \
		     ".short %c2\n"                                                                \
		     ".popsection\n" ::"i"(file), "i"(line), "i"(flags))
#define TRAP_WARNING 1
#define TRAP_ONCE 2
#define TRAP(flags) TRAP_ROW(__FILE__, __LINE__, flags)

/* __jump_table: code, target, key + default: 16 bytes, aligned to 8. */
struct switch_key {
	int enabled;
	void *entries;
};

static always_inline int key_branch(struct switch_key *const key, const int inverted)
{
	asm goto("1: " NOP_INSTRUCTION "\n"
		 ".pushsection __jump_table, \"aw\"\n"
		 ".balign 8\n"
		 ".long 1b - .\n"
		 ".long %l[taken] - .\n"
		 ".quad %c0 + %c1 - .\n"
		 ".popsection\n" ::"i"(key),
		 "i"(inverted)::taken);
	return 0;
taken:
	return 1;
}

/* .altinstructions: code, replacement, feature, two lengths: 14 bytes. */
#define ALTERNATIVE(old, new, feature)                                                             \
	asm volatile("771: " old "\n772:\n"                                                        \
		     ".pushsection .altinstructions, \"a\"\n"                                      \
		     ".long 771b - .\n"                                                            \
		     ".long 773f - .\n"                                                            \
		     ".long " #feature "\n"                                                        \
		     ".byte 772b - 771b\n"                                                         \
		     ".byte 774f - 773f\n"                                                         \
		     ".popsection\n"                                                               \
		     ".pushsection .altinstr_replacement, \"ax\"\n"                                \
		     "773: " new "\n774:\n"                                                        \
		     ".popsection\n" ::                                                            \
			     : "memory")

/* __ex_table: instruction, fixup, type: 12 bytes. */
#define EXTABLE(from, to, type)                                                                    \
	".pushsection __ex_table, \"a\"\n"                                                         \
	".balign 4\n"                                                                              \
	".long " from " - .\n"                                                                     \
	".long " to " - .\n"                                                                       \
	".long " type "\n"                                                                         \
	".popsection\n"

/* .static_call_sites: call, key: 8 bytes. */
#define STATIC_CALL(trampoline, key)                                                               \
	asm volatile("1: call " #trampoline "\n"                                                   \
		     ".pushsection .static_call_sites, \"aw\"\n"                                   \
		     ".balign 4\n"                                                                 \
		     ".long 1b - .\n"                                                              \
		     ".long " #key " - .\n"                                                        \
		     ".popsection\n" ::                                                            \
			     : "memory", "rax", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10",     \
			       "r11")

/* .smp_locks: address of a lock prefix: 4 bytes. */
#define LOCK_PREFIX                                                                                \
	".pushsection .smp_locks, \"a\"\n"                                                         \
	".balign 4\n"                                                                              \
	".long 881f - .\n"                                                                         \
	".popsection\n"                                                                            \
	"881: lock; "

#endif
